package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

const counterParty = "did:web:consumer.example"

// publish writes a file of so many bytes to a tenant's bucket and registers it as a dataset, as asset-publisher does.
func (w *world) publish(ctx context.Context, pc, key string, size int64) (*gatewayapi.Dataset, error) {
	sum, err := writeFile(filepath.Join(w.bucket(pc), key), size)
	if err != nil {
		return nil, err
	}
	return w.register(ctx, pc, w.folder(pc), key, sum)
}

// folder is a tenant's bucket of files.
func (w *world) folder(pc string) tenant.Bucket {
	return tenant.Bucket{Name: "files", URL: "file://" + w.bucket(pc)}
}

// register registers an object that is in a bucket.
func (w *world) register(ctx context.Context, pc string, bucket tenant.Bucket, key, sum string) (*gatewayapi.Dataset, error) {
	store, err := objectstore.Open(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket: %w", err)
	}
	defer func() { _ = store.Close() }() // only read from
	o, err := store.Head(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("bucket: %w", err)
	}
	d := &gatewayapi.Dataset{
		ID: publishing.DatasetID(pc, bucket.Name, key), Bucket: bucket.Name, Key: key, Rule: "all", Size: o.Size, SHA256: sum, StoreETag: o.ETag,
		ContentType: "application/octet-stream", Modified: o.Modified, PublishedAt: time.Now().UTC(),
	}
	_, err = w.api.Put(ctx, pc, gatewayapi.KindDataset, d.ID, d, gatewayapi.Always())
	return d, err
}

// writeFile fills a file with noise, the same each time, and returns its SHA-256.
func writeFile(file string, size int64) (string, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("file to serve: %w", err)
	}
	hash := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, hash), rand.NewChaCha8([32]byte{1}), size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", fmt.Errorf("file to serve: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// approve records an approving decision, as negotiation-approver does.
func (w *world) approve(ctx context.Context, pc, agreement string, d *gatewayapi.Dataset) error {
	id := gatewayapi.AgreementRecordID(agreement)
	_, err := w.api.Put(ctx, pc, gatewayapi.KindDecision, id, gatewayapi.Decision{
		ID: id, AgreementID: agreement, DatasetID: d.ID, CounterPartyID: counterParty, Verdict: gatewayapi.Approved, Rule: "all",
		Reason: "it is a measurement", By: "rules", Mode: "veto", DecidedAt: time.Now().UTC(),
	}, gatewayapi.Always())
	return err
}

// startMessage is a DataFlowStartMessage as EDC-V sends it.
func startMessage(pc, flow, agreement, dataset string) ([]byte, error) {
	return json.Marshal(dps.FlowMessage{
		MessageID: "start-of-" + flow, ParticipantID: "did:web:" + pc + ".example", CounterPartyID: counterParty,
		DataspaceContext: "http-dsp-profile-2025-1", ProcessID: flow, AgreementID: agreement, DatasetID: dataset,
		Profile: dps.ProfileHTTPPull, Claims: map[string]any{"client_id": counterParty},
	})
}

// addressOf reads the data address in the answer to a start.
func addressOf(answer []byte) (*dps.DataAddress, error) {
	var st dps.StatusMessage
	if err := json.Unmarshal(answer, &st); err != nil || st.DataAddress == nil {
		return nil, fmt.Errorf("the answer holds no data address: %w", err)
	}
	return st.DataAddress, nil
}

// served is a dataset that a consumer may read.
type served struct {
	dataset       *gatewayapi.Dataset
	file          string
	path          string // at the public listener
	authorization string // the header's value
}

// serve publishes a file and starts a flow of it.
func (w *world) serve(ctx context.Context, pc, key string, size int64) (*served, error) {
	d, err := w.publish(ctx, pc, key, size)
	if err != nil {
		return nil, err
	}
	return w.begin(ctx, pc, d)
}

// begin starts a flow of a dataset.
func (w *world) begin(ctx context.Context, pc string, d *gatewayapi.Dataset) (*served, error) {
	key := d.Bucket + "-" + d.Key
	if err := w.approve(ctx, pc, "agreement-"+key, d); err != nil {
		return nil, err
	}
	body, err := startMessage(pc, "flow-"+key, "agreement-"+key, d.ID)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	t, err := w.outside.token(rs256)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	c, err := dial(ctx, w.signaling)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	defer c.close()
	answer, err := c.do(request(http.MethodPost, w.signaling, "/participants/"+pc+"/dataflows/start", t.compact, body))
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	a, err := addressOf(answer)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	u, err := url.Parse(a.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("start: endpoint: %w", err)
	}
	return &served{
		dataset: d, file: filepath.Join(w.bucket(pc), d.Key), path: u.EscapedPath(),
		authorization: "Bearer " + a.Property(dps.PropertyAuthorization),
	}, nil
}
