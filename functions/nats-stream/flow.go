package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// held is the consumer that keeps the place of a suspended flow: nobody has credentials for it.
const held = "held"

// maxUnacknowledged bounds what a reader may have fetched and not acknowledged.
const maxUnacknowledged = 1000

// flow is a data flow and its consumers in NATS.
type flow struct {
	*gatewayapi.Flow
	js       jetstream.JetStream
	inactive time.Duration
}

// consumer is the name of the flow's consumer of a generation: the revision that it was made for, or held.
func (f *flow) consumer(generation string) string {
	sum := sha256.Sum256([]byte(f.DataFlowID))
	return "tidegate-" + hex.EncodeToString(sum[:12]) + "-" + generation
}

// stream is what the asset says of itself, in what its control plane hands on to data planes.
func (f *flow) stream() (string, error) {
	s, _ := f.Metadata["stream"].(string)
	if s == "" || strings.ContainsAny(s, ".*> \t\r\n/\\") {
		return "", problem.Field("metadata.stream", "is missing, or no name of a stream: the dataset's dataplaneMetadata must name it")
	}
	return s, nil
}

func (f *flow) subject() string {
	s, _ := f.Metadata["subject"].(string)
	return s
}

// start makes the consumer of a flow that begins: it reads all that the stream holds.
func (f *flow) start(ctx context.Context, stream string) (string, error) {
	return f.make(ctx, stream, strconv.FormatInt(f.Revision, 10), 0)
}

// resume makes a consumer that goes on after what was acknowledged before the suspension. A reader may see again what it had not
// acknowledged.
func (f *flow) resume(ctx context.Context, stream string) (string, error) {
	old, err := f.made(ctx, stream)
	if err != nil {
		return "", err
	}
	fresh := f.consumer(strconv.FormatInt(f.Revision, 10))
	var next uint64
	for _, c := range old {
		next = max(next, c.next())
	}
	if _, err := f.make(ctx, stream, strconv.FormatInt(f.Revision, 10), next); err != nil {
		return "", err
	}
	for _, c := range old {
		if c.Name != fresh {
			if err := f.delete(ctx, stream, c.Name); err != nil {
				return "", err
			}
		}
	}
	return fresh, nil
}

// suspend deletes the consumers that were made up to the flow's revision, and has another one keep the place.
func (f *flow) suspend(ctx context.Context) error {
	stream, err := f.stream()
	if err != nil {
		return nil //nolint:nilerr // nothing was made of it
	}
	all, err := f.made(ctx, stream)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.generation == 0 || c.generation > f.Revision {
			continue
		}
		if _, err := f.make(ctx, stream, held, c.next()); err != nil {
			return err
		}
		if err := f.delete(ctx, stream, c.Name); err != nil {
			return err
		}
	}
	return nil
}

// end deletes all consumers of the flow.
func (f *flow) end(ctx context.Context) error {
	streams := []string{}
	if s, err := f.stream(); err == nil {
		streams = append(streams, s)
	} else { // the gateway does not know the flow any more
		names := f.js.StreamNames(ctx)
		for s := range names.Name() {
			streams = append(streams, s)
		}
		if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
			return failure(err)
		}
	}
	for _, stream := range streams {
		all, err := f.made(ctx, stream)
		if err != nil {
			return err
		}
		for _, c := range all {
			if err := f.delete(ctx, stream, c.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// make makes a consumer; one that is there stays as it is. first is the sequence number at which it begins, 0 for all there is.
func (f *flow) make(ctx context.Context, stream, generation string, first uint64) (string, error) {
	s, err := f.js.Stream(ctx, stream)
	if err != nil {
		return "", failure(err)
	}
	if s.CachedInfo().Config.Retention != jetstream.LimitsPolicy {
		return "", problem.New(problem.Unprocessable, "stream %s gives each message to one reader only, and can't be shared", stream)
	}
	cfg := jetstream.ConsumerConfig{
		Durable: f.consumer(generation), FilterSubject: f.subject(), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: maxUnacknowledged,
		InactiveThreshold: f.inactive, Metadata: map[string]string{"dataflow": f.DataFlowID, "counterparty": f.CounterPartyID, "agreement": f.AgreementID},
	}
	if first > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, first
	}
	if _, err := s.CreateConsumer(ctx, cfg); err != nil && !errors.Is(err, jetstream.ErrConsumerExists) {
		return "", failure(err)
	}
	return cfg.Durable, nil
}

// made is a consumer of the flow that is there.
type made struct {
	*jetstream.ConsumerInfo
	generation int64 // 0 = held
}

// next is the sequence number of the first message that was not acknowledged.
func (m made) next() uint64 { return max(m.AckFloor.Stream+1, m.Config.OptStartSeq) }

func (f *flow) made(ctx context.Context, stream string) ([]made, error) {
	s, err := f.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, failure(err)
	}
	prefix := f.consumer("")
	var out []made
	list := s.ListConsumers(ctx)
	for info := range list.Info() {
		if generation, ours := strings.CutPrefix(info.Name, prefix); ours {
			n, err := strconv.ParseInt(generation, 10, 64)
			if err == nil || generation == held {
				out = append(out, made{info, n})
			}
		}
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, failure(err)
	}
	return out, nil
}

func (f *flow) delete(ctx context.Context, stream, consumer string) error {
	err := f.js.DeleteConsumer(ctx, stream, consumer)
	if err == nil || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return failure(err)
}

// failure makes a problem of an error of JetStream: what NATS refuses by its rules can't be done, the rest may pass.
func failure(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return problem.New(problem.NotFound, "there is no such stream")
	}
	if api, ok := errors.AsType[jetstream.JetStreamError](err); ok && api.APIError() != nil && api.APIError().Code >= 400 && api.APIError().Code < 500 {
		return problem.Wrap(problem.Unprocessable, err, "the stream can't be read: %s", api.APIError().Description)
	}
	return problem.Wrap(problem.Unavailable, err, "the stream's server fails")
}
