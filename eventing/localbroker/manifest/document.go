package manifest

// The documents as they are written. Their fields are Knative's, whole: what is not here is not in the CRD, and is refused.

type typeMeta struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
}

type objectMeta struct {
	Name        string            `yaml:"name"`
	Namespace   string            `yaml:"namespace"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type brokerDoc struct {
	APIVersion string     `yaml:"apiVersion"`
	Kind       string     `yaml:"kind"`
	Metadata   objectMeta `yaml:"metadata"`
	Spec       struct {
		Config   *reference   `yaml:"config"` // of the Broker's implementation; nothing to configure here
		Delivery *deliveryDoc `yaml:"delivery"`
	} `yaml:"spec"`
}

type triggerDoc struct {
	APIVersion string     `yaml:"apiVersion"`
	Kind       string     `yaml:"kind"`
	Metadata   objectMeta `yaml:"metadata"`
	Spec       struct {
		Broker    string     `yaml:"broker"`
		BrokerRef *reference `yaml:"brokerRef"`
		Filter    *struct {
			Attributes map[string]string `yaml:"attributes"`
		} `yaml:"filter"`
		Filters    []Filter        `yaml:"filters"`
		Subscriber *destinationDoc `yaml:"subscriber"`
		Delivery   *deliveryDoc    `yaml:"delivery"`
	} `yaml:"spec"`
}

type pingDoc struct {
	APIVersion string     `yaml:"apiVersion"`
	Kind       string     `yaml:"kind"`
	Metadata   objectMeta `yaml:"metadata"`
	Spec       struct {
		Schedule    string          `yaml:"schedule"`
		Timezone    string          `yaml:"timezone"`
		ContentType string          `yaml:"contentType"`
		Data        string          `yaml:"data"`
		DataBase64  string          `yaml:"dataBase64"`
		Sink        *destinationDoc `yaml:"sink"`
		CEOverrides *struct {
			Extensions map[string]string `yaml:"extensions"`
		} `yaml:"ceOverrides"`
	} `yaml:"spec"`
}

type deliveryDoc struct {
	DeadLetterSink *destinationDoc `yaml:"deadLetterSink"`
	Retry          *int            `yaml:"retry"`
	Timeout        string          `yaml:"timeout"`
	BackoffPolicy  string          `yaml:"backoffPolicy"`
	BackoffDelay   string          `yaml:"backoffDelay"`
	Format         string          `yaml:"format"`
}

type destinationDoc struct {
	Ref *reference `yaml:"ref"`
	URI string     `yaml:"uri"`
}

type reference struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Name       string `yaml:"name"`
	Namespace  string `yaml:"namespace"`
}
