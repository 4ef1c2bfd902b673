package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// poll is the time between two looks at a condition: kubectl takes a tenth of a second itself.
const poll = 500 * time.Millisecond

// longest bounds one call of kubectl; those that wait for something have a time-out of their own, below it.
const longest = 6 * time.Minute

// tryKubectl runs kubectl; stdin may be empty.
func tryKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// kubectl runs kubectl in the namespace of the test; a failure ends the test.
func (w *world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.try(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) try(ctx context.Context, args ...string) (string, error) {
	return tryKubectl(ctx, "", append([]string{"-n", namespace}, args...)...)
}

// apply brings objects to the cluster, whoever has changed them before. A webhook whose pod is just being started refuses for a while.
func apply(t *testing.T, manifest string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		_, err := tryKubectl(t.Context(), manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
		return err
	})
}

// pod is what the test wants to know of a pod.
type pod struct {
	Metadata struct {
		Name              string            `json:"name"`
		Labels            map[string]string `json:"labels"`
		DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase             string `json:"phase"`
		ContainerStatuses []struct {
			Name         string `json:"name"`
			RestartCount int    `json:"restartCount"`
			Ready        bool   `json:"ready"`
			State        struct {
				Running *struct{} `json:"running"`
			} `json:"state"`
			LastState struct {
				Terminated *struct {
					Reason string `json:"reason"`
				} `json:"terminated"`
			} `json:"lastState"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

// pods lists the pods of a namespace by their labels.
func (a api) pods(ctx context.Context, ns, selector string) ([]pod, error) {
	var list struct{ Items []pod }
	if err := a.get(ctx, "/api/v1/namespaces/"+ns+"/pods?labelSelector="+url.QueryEscape(selector), &list); err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	return list.Items, nil
}

// functionLabel is on every pod of a Knative Service, with the Service's name.
const functionLabel = "serving.knative.dev/service"

// running names the functions that have a pod.
func (a api) running(ctx context.Context) ([]string, error) {
	list, err := a.pods(ctx, namespace, functionLabel)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Metadata.Labels[functionLabel])
	}
	return names, nil
}

// atZero waits until no function has a pod. The schedules wake some every few minutes; between two of them there is such a moment.
func (w *world) atZero(t *testing.T) {
	t.Helper()
	eventually(t, 5*time.Minute, func() error {
		names, err := w.api.running(t.Context())
		if err == nil && len(names) > 0 {
			err = fmt.Errorf("not at zero: %s", strings.Join(names, ", "))
		}
		return err
	})
}

// eventually waits until f returns nil; its last error ends the test.
func eventually(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("after %v: %v", limit, err)
		}
		time.Sleep(poll)
	}
}

// secret reads one entry of a Secret.
func secret(t *testing.T, name, key string) string {
	t.Helper()
	out, err := tryKubectl(t.Context(), "", "get", "secret", name, "-n", namespace, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Data map[string][]byte }
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	v, ok := s.Data[key]
	if !ok {
		t.Fatal(errors.New("Secret " + name + " has no entry " + key))
	}
	return string(v)
}
