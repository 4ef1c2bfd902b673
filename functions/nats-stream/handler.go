package main

import (
	"context"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// Properties of the data address, beside the endpoint, which is the server's URL.
const (
	propertyStream   = "stream"
	propertyConsumer = "consumer"
	propertyInbox    = "inboxPrefix" // of the client: it may receive nowhere else
	propertyJWT      = "jwt"
	propertySeed     = "seed" // of the user's key, with which the client answers the server's challenge
)

// handler serves data flows. What it keeps is in NATS: the consumers of a flow bear its name, each with the revision of the flow that it
// was made for. So:
//
//   - The same call twice makes the same consumer. Its credentials are new, and both are good.
//   - A suspend that is told late deletes what was made up to its revision, and not what a resume has made since.
//   - Killed at any point: the call comes again. What nobody comes back for is deleted by NATS when nobody has read from it for a while.
type handler struct {
	cfg Config
}

// Handle answers the gateway. The consumer's side of a flow has nothing to do and no objection: who reads the stream asks the gateway for
// the data address.
func (h *handler) Handle(ctx context.Context, r *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
	switch {
	case r.Flow.Direction != dps.Pull:
		return nil, problem.New(problem.Unprocessable, "a stream is read by its consumer: the profile is one of a pull")
	case r.Flow.Role != dps.Provider:
		return nil, nil
	}
	a, err := h.open(ctx, r.Flow.ParticipantContextID)
	if problem.Is(err, problem.NotFound) && !r.Kind.Asked() {
		return nil, nil // the account is gone, and all that was in it
	}
	if err != nil {
		return nil, err
	}
	defer a.close()
	f := &flow{Flow: &r.Flow, js: a.js, inactive: h.cfg.InactiveTime}
	switch r.Kind {
	case gatewayapi.HookStart, gatewayapi.HookResume:
		return h.answer(ctx, a, f, r.Kind)
	case gatewayapi.HookSuspend:
		return nil, f.suspend(ctx)
	case gatewayapi.HookTerminate, gatewayapi.HookComplete:
		return nil, f.end(ctx)
	case gatewayapi.HookPrepare, gatewayapi.HookStarted: // of the consumer's side
	}
	return nil, nil
}

// answer makes the consumer of a flow and the data address that leads there.
func (h *handler) answer(ctx context.Context, a *account, f *flow, kind gatewayapi.HookKind) (*gatewayapi.HookAnswer, error) {
	stream, err := f.stream()
	if err != nil {
		return nil, err
	}
	open := f.start
	if kind == gatewayapi.HookResume {
		open = f.resume
	}
	consumer, err := open(ctx, stream)
	if err != nil {
		return nil, err
	}
	inbox := "_INBOX_" + consumer
	token, seed, err := a.credentials(stream, consumer, inbox)
	if err != nil {
		return nil, err
	}
	address := &dps.DataAddress{EndpointType: f.Profile, Endpoint: h.cfg.PublicURL}
	for _, p := range [][2]string{
		{propertyStream, stream}, {propertyConsumer, consumer}, {propertyInbox, inbox}, {propertyJWT, token}, {propertySeed, seed},
	} {
		address.Add(p[0], p[1])
	}
	return &gatewayapi.HookAnswer{DataAddress: address}, nil
}
