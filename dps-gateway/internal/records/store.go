package records

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// MaxPage is the most records that List returns at once.
const MaxPage = 500

// maxPageBytes ends a page early: what clients read of one answer is bounded too.
const maxPageBytes = 8 << 20

// Store reads and writes records. Its errors are of kind Invalid, TooLarge, NotFound, Stale or Unavailable. It may be used
// by many goroutines, and many gateways may use one Redis.
type Store struct {
	rdb       redis.UniversalClient
	retention time.Duration
}

// Record is a record as it is stored.
type Record struct {
	Doc      json.RawMessage
	Revision string // without the quotes of an ETag
}

// Condition makes a write conditional; the zero value does not.
type Condition struct {
	IfMatch     string // the revision that must be there, or "*" for any
	IfNoneMatch string // "*": no record may be there
}

// New returns a store. A delivery or push that is done is kept for the retention; all other records until they are deleted.
func New(rdb redis.UniversalClient, retention time.Duration) *Store {
	return &Store{rdb: rdb, retention: retention}
}

// Get reads a record.
func (s *Store) Get(ctx context.Context, pc string, kind gatewayapi.Kind, id string) (*Record, error) {
	if err := check(kind, id); err != nil {
		return nil, err
	}
	vals, err := s.rdb.HMGet(ctx, keys.Record(pc, string(kind), id), keys.RecordDoc, keys.RecordRevision).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	rec, ok := recordOf(vals)
	if !ok {
		return nil, notFound(kind)
	}
	return rec, nil
}

// Put checks a document and writes it if the condition holds; it returns the new revision. Put with IfMatch or IfNoneMatch
// has its effect once, however often it is repeated.
func (s *Store) Put(ctx context.Context, pc string, kind gatewayapi.Kind, id string, body []byte, cond Condition) (rev string, err error) {
	if err := check(kind, id); err != nil {
		return "", err
	}
	arg, err := cond.argument()
	if err != nil {
		return "", err
	}
	rec, err := parse(kind, id, body)
	if err != nil {
		return "", err
	}
	keep := int64(0)
	if rec.done {
		keep = max(s.retention.Milliseconds(), 1)
	}
	args := []any{arg, id, rec.doc, keep, keys.Record(pc, string(kind), "")}
	for f, v := range rec.fields {
		args = append(args, f, v)
	}
	answer, err := putScript.Run(ctx, s.rdb, s.keys(pc, kind, id), args...).Slice()
	if err != nil {
		return "", unavailable(err)
	}
	written, _ := answer[0].(int64)
	rev, _ = answer[1].(string)
	if written == 0 {
		if rev == "" {
			return "", problem.New(problem.Stale, "there is no such record, and the condition expects one")
		}
		return "", problem.New(problem.Stale, "the record is of another revision than the condition expects: %s", ETag(rev))
	}
	if was, _ := answer[2].(string); kind == gatewayapi.KindDataset && was == "0" && rec.fields["withdrawn"] == "1" {
		return rev, s.cut(ctx, pc, id)
	}
	return rev, nil
}

// Delete removes a record and tells whether there was one.
func (s *Store) Delete(ctx context.Context, pc string, kind gatewayapi.Kind, id string) (bool, error) {
	if err := check(kind, id); err != nil {
		return false, err
	}
	n, err := deleteScript.Run(ctx, s.rdb, s.keys(pc, kind, id)[:3], id).Int64()
	if err != nil {
		return false, unavailable(err)
	}
	if n > 0 && kind == gatewayapi.KindDataset {
		return true, s.cut(ctx, pc, id)
	}
	return n > 0, nil
}

// cut tells that a dataset may not be served any more. If this process dies before, or Redis fails, the streams are cut by
// the next recheck of every gateway (flowstore.RecheckEvery).
func (s *Store) cut(ctx context.Context, pc, id string) error {
	return flowstore.PublishDataset(ctx, s.rdb, pc, id)
}

// List returns the documents of a kind whose ids come after the given one, in the order of ids, at most limit of them, and
// the value of after for the next page; "" at the end.
func (s *Store) List(ctx context.Context, pc string, kind gatewayapi.Kind, after string, limit int) (docs []json.RawMessage, next string, err error) {
	if !slices.Contains(Kinds(), kind) {
		return nil, "", notFound(kind)
	}
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	from := "-"
	if after != "" {
		from = "(" + after
	}
	ids, err := s.rdb.ZRangeByLex(ctx, keys.Records(pc, string(kind)), &redis.ZRangeBy{Min: from, Max: "+", Count: int64(limit) + 1}).Result()
	if err != nil {
		return nil, "", unavailable(err)
	}
	more := len(ids) > limit
	ids = ids[:min(len(ids), limit)]
	docs = make([]json.RawMessage, 0, len(ids))
	size := 0
	for batch := range slices.Chunk(ids, 50) { // a batch of the largest records is 12.5 MiB
		recs, err := s.batch(ctx, pc, kind, batch)
		if err != nil {
			return nil, "", err
		}
		for i, rec := range recs {
			if rec == nil { // deleted meanwhile
				continue
			}
			if size += len(rec.Doc); size > maxPageBytes {
				return docs, before(batch, i, next), nil
			}
			docs = append(docs, rec.Doc)
			next = batch[i]
		}
	}
	if !more {
		return docs, "", nil
	}
	return docs, ids[len(ids)-1], nil
}

func before(batch []string, i int, last string) string {
	if i > 0 {
		return batch[i-1]
	}
	return last
}

func (s *Store) batch(ctx context.Context, pc string, kind gatewayapi.Kind, ids []string) ([]*Record, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		cmds[i] = pipe.HMGet(ctx, keys.Record(pc, string(kind), id), keys.RecordDoc, keys.RecordRevision)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err)
	}
	recs := make([]*Record, len(ids))
	for i, c := range cmds {
		if rec, ok := recordOf(c.Val()); ok {
			recs[i] = rec
		}
	}
	return recs, nil
}

func (s *Store) keys(pc string, kind gatewayapi.Kind, id string) []string {
	k := string(kind)
	return []string{keys.Record(pc, k, id), keys.Records(pc, k), keys.Tenant(pc, "recends:"+k), keys.Tenant(pc, "recrev:"+k)}
}

// ETag spells a revision as an entity tag.
func ETag(rev string) string { return `"` + rev + `"` }

// ParseCondition reads the headers If-Match and If-None-Match.
func ParseCondition(ifMatch, ifNoneMatch string) (Condition, error) {
	c := Condition{IfMatch: strings.Trim(strings.TrimSpace(ifMatch), `"`), IfNoneMatch: strings.TrimSpace(ifNoneMatch)}
	_, err := c.argument()
	return c, err
}

func (c Condition) argument() (string, error) {
	switch {
	case c.IfMatch != "" && c.IfNoneMatch != "":
		return "", problem.Field("If-Match", "can't be combined with If-None-Match")
	case c.IfNoneMatch == "*":
		return "*", nil
	case c.IfNoneMatch != "":
		return "", problem.Field("If-None-Match", "is %q; only * is expected on a write", c.IfNoneMatch)
	case c.IfMatch == "*":
		return "+", nil
	case c.IfMatch != "" && strings.Trim(c.IfMatch, "0123456789") != "":
		return "", problem.Field("If-Match", "is %q; one ETag as GET returned it is expected", c.IfMatch)
	}
	return c.IfMatch, nil
}

func check(kind gatewayapi.Kind, id string) error {
	if !slices.Contains(Kinds(), kind) {
		return notFound(kind)
	}
	return checkID(id)
}

func recordOf(vals []any) (*Record, bool) {
	if len(vals) != 2 {
		return nil, false
	}
	doc, ok1 := vals[0].(string)
	rev, ok2 := vals[1].(string)
	return &Record{Doc: json.RawMessage(doc), Revision: rev}, ok1 && ok2
}

func notFound(kind gatewayapi.Kind) error {
	return problem.New(problem.NotFound, "there is no such record in %s", kind)
}

func unavailable(err error) error {
	if errors.Is(err, context.Canceled) {
		return problem.Wrap(problem.Unavailable, err, "the request was given up")
	}
	return problem.Wrap(problem.Unavailable, redisconn.Trouble(err), "the state store can't be reached")
}
