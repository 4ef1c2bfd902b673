// Package data serves the public listener: GET and HEAD of /data/{dataFlowId}, where the consumer of an agreement gets its
// bytes (HTTP transfer profile, pull), and the keys by which its token can be checked.
//
// On every request the token's signature is checked here and the flow's state, the id of its one good token and the
// dataset's record are read from Redis, in one round trip that concurrent requests share. Then a data server is asked which
// object answers, once for many requests, and the gateway streams that object itself: HTTP semantics of ranges and
// conditions by RFC 9110, the digest of the content by RFC 9530, the bytes by sendfile where the object is a file. Small or
// computed answers come from the data server's own body. Where it sleeps, one request of a tenant wakes it for all (doors); where it, or an
// object store, fails again and again, it is spared for a moment (breakers).
//
// A stream is registered before the flow's state is read, and cut as soon as Redis tells that the flow or the dataset left
// the state in which it may be served: the connection is reset, so nothing that waits in its buffers goes out, and the
// client sees a broken body, never a complete one. What is not told, because a connection to Redis was lost, is found by
// checking all open streams every few seconds; a stream whose state could not be read for the blind time is cut.
//
// Refusals say as little as they can: 401 for every defect of a token, 404 for every reason why a flow is not served.
package data
