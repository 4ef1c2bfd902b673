package acceptance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// streamSize takes a while, since a tenant's consumers get 8 MiB a second: some four seconds, longer than a gateway serves on when it is told
// to stop, and less than its drain time.
const streamSize = 40 << 20

// consumers read streams, one after the other.
type consumers struct {
	hc                     *http.Client
	whole, broken, resumed atomic.Int64
}

// granted is what a provider's start gave to its consumer.
type granted struct{ path, authorization string }

// grant starts a provider's flow.
func (c *controlPlane) grant(ctx context.Context, f *flow, d gatewayapi.Dataset) (granted, error) {
	b, err := c.step(ctx, f, "start", catalogue.DataFlowStarted, dps.Started, map[string]any{
		"participantId": "did:web:" + f.pc + ".example", "counterPartyId": counterParty, "dataspaceContext": "http-dsp-profile-2025-1",
		"processId": f.id, "agreementId": "agreement-" + d.ID, "datasetId": d.ID, "profile": dps.ProfileHTTPPull, "claims": map[string]any{},
	})
	if err != nil {
		return granted{}, err
	}
	var st dps.StatusMessage
	if err := json.Unmarshal(b, &st); err != nil || st.DataAddress == nil {
		return granted{}, fmt.Errorf("start of %s gives no data address: %s: %w", f.id, b, err)
	}
	u, err := url.Parse(st.DataAddress.Endpoint)
	if err != nil {
		return granted{}, err
	}
	return granted{u.EscapedPath(), "Bearer " + st.DataAddress.Property(dps.PropertyAuthorization)}, nil
}

// run reads one stream of a tenant after the other until stop is closed: of each the whole, over as many connections as it takes.
func (s *consumers) run(ctx context.Context, stop <-chan struct{}, c *controlPlane, pc, name string, offers map[string]gatewayapi.Dataset) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		f := &flow{pc: pc, id: fmt.Sprintf("%s-%s-%d", pc, name, n)}
		g, err := c.grant(ctx, f, offers[pc])
		if err == nil {
			err = s.read(ctx, "http://"+c.f.service.Addr(atPublic)+g.path, g, offers[pc])
		}
		if err == nil {
			err = c.word(ctx, f)
		}
		if err != nil {
			c.load.fault("stream %s: %v", f.id, err)
			if ctx.Err() != nil {
				return
			}
		}
		c.load.mu.Lock()
		c.load.flows = append(c.load.flows, f)
		c.load.mu.Unlock()
	}
}

func (s *consumers) read(ctx context.Context, url string, g granted, d gatewayapi.Dataset) error {
	sum, had := sha256.New(), int64(0)
	for had < d.Size {
		n, err := s.once(ctx, url, g, d, had, sum)
		had += n
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("at byte %d: %w", had, err)
		}
		if _, refused := err.(fatalError); refused { //nolint:errorlint // made by once itself
			return err
		}
		s.broken.Add(1)
		time.Sleep(50 * time.Millisecond) // as a puller pauses
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != d.SHA256 {
		return fmt.Errorf("%d bytes came, with the digest %s, not %s", had, got, d.SHA256)
	}
	s.whole.Add(1)
	return nil
}

// once reads from a byte on until the end or until the connection breaks.
func (s *consumers) once(ctx context.Context, url string, g granted, d gatewayapi.Dataset, from int64, sum hash.Hash) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", g.authorization)
	want := http.StatusOK
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		req.Header.Set("If-Range", `"`+d.SHA256+`"`)
		want = http.StatusPartialContent
	}
	res, err := s.hc.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != want {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return 0, fatalError{fmt.Sprintf("from byte %d: %d %s", from, res.StatusCode, b)}
	}
	if from > 0 {
		s.resumed.Add(1)
	}
	had, err := io.Copy(sum, res.Body)
	if err == nil && had != res.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	return had, err
}
