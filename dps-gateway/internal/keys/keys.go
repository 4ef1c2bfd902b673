// Package keys is the layout of the gateway's data in Redis: the name of every key, in one place.
//
// Tenants are spread over a fixed number of shards. Every key of a tenant, and the outbox stream and the change channel of
// its shard, carry the shard's hash tag ({s12}), so one Lua script can change a flow, read its decision and its dataset, and
// append to the outbox in one step on Redis Cluster too. A key names the participant context; what a shard shares (outbox,
// lease, channel) holds entries that name it. Participant context ids are [A-Za-z0-9._-]{1,64}, so ":" separates them safely;
// an id of any other kind stands last in a key and may hold any byte.
package keys

import (
	"hash/fnv"
	"strconv"
)

// Shards is the number of shards. It is part of the layout: a change moves tenants to other keys.
const Shards = 64

// NoTenant stands for the participant context of work that belongs to no tenant.
const NoTenant = "-"

// Fields of a record, which is a hash.
const (
	RecordDoc      = "doc" // the JSON document
	RecordRevision = "rev" // a whole number that rises with every write; the ETag is made of it
)

var tags = func() (t [Shards]string) {
	for i := range t {
		t[i] = "tg:{s" + strconv.Itoa(i) + "}:"
	}
	return t
}()

// Shard is the shard of a participant context.
func Shard(pc string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(pc)) // a hash never fails
	return int(h.Sum32() % Shards)
}

// Flow is a data flow: a hash, its fields are flowstore's.
func Flow(pc, id string) string { return tags[Shard(pc)] + "flow:" + pc + ":" + id }

// Flows is the index of a tenant's flows that are not terminal: a sorted set of ids, all with score 0, so in the order of
// their bytes.
func Flows(pc string) string { return tags[Shard(pc)] + "flows:" + pc }

// Record is a record of a kind (gatewayapi.Kind): a hash with the fields RecordDoc and RecordRevision.
func Record(pc, kind, id string) string { return tags[Shard(pc)] + "rec:" + pc + ":" + kind + ":" + id }

// Records is the index of a tenant's records of a kind: a sorted set of ids, all with score 0.
func Records(pc, kind string) string { return tags[Shard(pc)] + "recs:" + pc + ":" + kind }

// TokenID is the mark of a signaling token that was seen: a string, the digest of the request that it came with.
func TokenID(pc, jti string) string { return tags[Shard(pc)] + "jti:" + pc + ":" + jti }

// Outbox is the outbox stream of a shard.
func Outbox(shard int) string { return tags[shard] + "outbox" }

// OutboxLease is held by the replica that drains the shard's outbox: a string, the holder's name.
func OutboxLease(shard int) string { return tags[shard] + "outbox:lease" }

// Due are the flows of a shard that wait for something until a time: a sorted set of "<participant context>\n<data flow id>" by that time,
// in ms since 1970 by Redis' clock.
func Due(shard int) string { return tags[shard] + "due" }

// Relays are the replicas that drain outboxes: a sorted set of their names by when they were last heard of, in ms since 1970. It is
// of no shard.
const Relays = "tg:{relays}:outbox"

// Probe is written by readiness probes, to see whether writes are taken. It ends by itself.
func Probe(shard int) string { return tags[shard] + "probe" }

// Changes is the pub/sub channel on which the shard's changes of live flows and datasets are told.
func Changes(shard int) string { return tags[shard] + "changes" }

// Parked is one entry of work that was given up: a hash.
func Parked(pc, id string) string { return tags[Shard(pc)] + "parked:" + pc + ":" + id }

// ParkedIndex is the index of a tenant's parked work: a sorted set of ids, all with score 0. Ids begin with the time.
func ParkedIndex(pc string) string { return tags[Shard(pc)] + "parkeds:" + pc }

// Renewal is held by the replica that renews the access token of a consumer's flow: a string, the holder's name.
func Renewal(pc, id string) string { return tags[Shard(pc)] + "renew:" + pc + ":" + id }

// ControlPlanes are the control planes that have registered themselves with a tenant: a hash of documents by their ids.
func ControlPlanes(pc string) string { return tags[Shard(pc)] + "cplanes:" + pc }

// Registrations are the data planes that the shard's tenants have registered: a hash, its fields are registration's.
func Registrations(shard int) string { return tags[shard] + "registrations" }

// Tenant is any further key of a tenant, named by its use (e.g. "admission"), in the tenant's shard.
func Tenant(pc, use string) string { return tags[Shard(pc)] + use + ":" + pc }
