package function_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestAHookAnswersNowLaterOrRefuses(t *testing.T) {
	var answer function.Hook
	f := functiontest.Start(t, "", "", nil, func(s *function.Service) {
		s.HandleHook(func(ctx context.Context, r *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
			return answer(ctx, r)
		})
	})
	call := func(t *testing.T, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+gatewayapi.PathHook, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res := f.Do(t, req)
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	request := func(kind gatewayapi.HookKind, within time.Duration) string {
		b, err := json.Marshal(gatewayapi.HookRequest{
			Kind: kind, Key: "k", Flow: gatewayapi.Flow{ParticipantContextID: "pc", DataFlowID: "f"}, AnswerWithinMS: within.Milliseconds(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	later := func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
		return nil, function.ErrLater
	}
	for name, c := range map[string]struct {
		answer function.Hook
		body   string
		code   int
		want   string
	}{
		"with a data address": {
			func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
				return &gatewayapi.HookAnswer{DataAddress: &dps.DataAddress{EndpointType: "x-pull", Endpoint: "x://y"}}, nil
			}, request(gatewayapi.HookStart, time.Second), 200, `"endpoint":"x://y"`,
		},
		"with nothing": {
			func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) { return nil, nil },
			request(gatewayapi.HookTerminate, time.Second), 200, `{}`,
		},
		"later":                         {later, request(gatewayapi.HookPrepare, time.Second), 202, ""},
		"what is told can't be put off": {later, request(gatewayapi.HookTerminate, time.Second), 500, ""},
		"with a refusal and its reason": {func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
			return nil, problem.New(problem.Forbidden, "not you")
		}, request(gatewayapi.HookStart, time.Second), 403, `"detail":"not you"`},
		"without a key it is not handled": {nil, `{"kind":"start","flow":{"participantContextId":"pc","dataFlowId":"f"}}`, 400, `"field":"key"`},
		"what is no request is refused":   {nil, `[]`, 400, ""},
		"and no later than it is waited for": {
			func(ctx context.Context, _ *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			request(gatewayapi.HookStart, 50*time.Millisecond), 503, "in time",
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer = c.answer
			code, body := call(t, c.body)
			if code != c.code || !strings.Contains(body, c.want) {
				t.Errorf("%d %s, want %d %s", code, body, c.code, c.want)
			}
		})
	}
	res, err := http.Post(f.URL+gatewayapi.PathHook, "application/json", strings.NewReader(request(gatewayapi.HookStart, time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger: %d", res.StatusCode)
	}
}
