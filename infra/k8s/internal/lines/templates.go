package lines

// line is what is rendered and applied by itself: it holds nothing that another line or the overlay has, so a hundred of them are a
// hundred small folders to Kustomize, whose work grows with the square of what it renders at once.
const line = `# The line {{.Name}}: functions of its own for the tenant {{.ParticipantContextID}}. Made by "make tenant"; change what you like.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - functions
components:
  - ../../common # namespace, images and bounds of all functions of the overlay; what follows here may change them
configMapGenerator:
  - name: tenant-{{.Name}} # its functions know no other
    files: [shared/{{.Name}}.yaml]
{{- if .Secrets}}
secretGenerator:
  - name: tenant-{{.Name}}
    files: [{{range $i, $s := .Secrets}}{{if $i}}, {{end}}shared/secrets/{{$s}}{{end}}]
{{- end}}
generatorOptions: {disableNameSuffixHash: true, labels: {tidegate.io/line: {{.Name}}}}
# A version of its own, for example:
# images:
#   - {name: registry.example/tidegate/transfer-puller, newTag: v0.1.1}
`

// shared is what the overlay takes in: the tenant's document and secrets for the gateway, and what makes the shared Triggers pass the
// tenant by.
const shared = `# What the overlay knows of the line {{.Name}}.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
configMapGenerator:
  - name: tenants-of-lines # the gateway serves all tenants, the shared functions don't see this one
    behavior: merge
    files: [{{.Name}}.yaml]
    options: {disableNameSuffixHash: true}
{{- if .Secrets}}
secretGenerator:
  - name: tenant-secrets-of-lines
    behavior: merge
    files: [{{range $i, $s := .Secrets}}{{if $i}}, {{end}}secrets/{{$s}}{{end}}]
    options: {disableNameSuffixHash: true}
{{- end}}
patches:
  - target: {kind: Trigger, labelSelector: tidegate.io/line=shared}
    patch: |-
      - {op: add, path: /spec/filters/-, value: {not: {exact: {participantcontextid: "{{.ParticipantContextID}}"}}}}
`

// functions are those of the line: the functions, Triggers and schedules of the base, for one tenant.
const functions = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
nameSuffix: -{{.Name}}
resources:
  - {{.Root}}/infra/k8s/base/functions
  - {{.Root}}/eventing/manifests
labels:
  - pairs: {tidegate.io/line: {{.Name}}, app.kubernetes.io/part-of: tidegate}
    includeTemplates: true
configurations: [names.yaml]
patches:
  - target: {kind: Broker} # there is one for all
    patch: |-
      $patch: delete
      apiVersion: eventing.knative.dev/v1
      kind: Broker
      metadata: {name: default}
  - target: {kind: Trigger}
    patch: |-
      - {op: add, path: /spec/filters/-, value: {exact: {participantcontextid: "{{.ParticipantContextID}}"}}}
  - target: {kind: PingSource}
    patch: |-
      - {op: add, path: /spec/ceOverrides/extensions/participantcontextid, value: "{{.ParticipantContextID}}"}
{{- range $name, $schedule := .Schedules}}
  - target: {kind: PingSource, name: {{$name}}}
    patch: |-
      - {op: replace, path: /spec/schedule, value: "{{$schedule}}"}
{{- end}}
  - target: {group: serving.knative.dev, kind: Service}
    patch: |-
      - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: LINE, value: {{.Name}}}}
      - {op: replace, path: /spec/template/spec/volumes/0/configMap/name, value: tenant-{{.Name}}}
      - {op: replace, path: /spec/template/spec/volumes/1/secret/secretName, value: tenant-{{.Name}}}
  # Bounds of its own, for example:
  # - target: {group: serving.knative.dev, kind: Service, name: transfer-puller}
  #   patch: |-
  #     - {op: replace, path: /spec/template/metadata/annotations/autoscaling.knative.dev~1max-scale, value: "4"}
`

// names tells Kustomize that a Trigger names a Knative Service, so that the suffix comes to both.
const names = `nameReference:
  - kind: Service
    group: serving.knative.dev
    fieldSpecs:
      - {path: spec/subscriber/ref/name, kind: Trigger, group: eventing.knative.dev}
`
