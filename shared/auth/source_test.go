package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

// counting gives token-1, token-2, … which live for life, and takes a while for each.
func counting(life, takes time.Duration, calls *int, fail *error) func(context.Context) (string, time.Time, error) {
	return func(ctx context.Context) (string, time.Time, error) {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return "", time.Time{}, ctx.Err()
		}
		*calls++
		if fail != nil && *fail != nil {
			return "", time.Time{}, *fail
		}
		return fmt.Sprintf("token-%d", *calls), time.Now().Add(life), nil
	}
}

func TestTokenIsKeptUntilShortlyBeforeItExpires(t *testing.T) {
	tests := map[string]struct{ life, good, renewed time.Duration }{
		"a long one until a minute before the end":  {time.Hour, 58 * time.Minute, 59*time.Minute + 2*time.Second},
		"a short one until nine tenths of its life": {100 * time.Second, 89 * time.Second, 91 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls int
				s := newSource(counting(tt.life, 0, &calls, nil))
				begin := time.Now()
				expect := func(want string) {
					t.Helper()
					got, err := s.Token(t.Context())
					if err != nil || got != want {
						t.Errorf("after %v: %q, %v; want %q", time.Since(begin), got, err, want)
					}
				}
				expect("token-1")
				time.Sleep(tt.good)
				expect("token-1")
				time.Sleep(tt.renewed - tt.good)
				expect("token-2")
			})
		})
	}
}

func TestFiftyCallersCauseOneRequestAndEachKeepsItsOwnPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		s := newSource(counting(time.Hour, 3*time.Second, &calls, nil))
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				patience := time.Minute
				if i%2 == 0 {
					patience = time.Second // these give up; the request goes on for the others
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				got, err := s.Token(ctx)
				if i%2 == 0 && (!problem.Is(err, problem.Timeout) || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("an impatient caller got %q, %v", got, err)
				}
				if i%2 == 1 && (err != nil || got != "token-1") {
					t.Errorf("a patient caller got %q, %v", got, err)
				}
			})
		}
		wg.Wait()
		if calls != 1 {
			t.Errorf("%d requests, want 1", calls)
		}
	})
}

func TestTheCallerWhoBeganGivesUpAndTheOthersStillGetTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		s := newSource(counting(time.Hour, 3*time.Second, &calls, nil))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Token(ctx); !problem.Is(err, problem.Unavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("the first caller got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if got, err := s.Token(t.Context()); err != nil || got != "token-1" {
				t.Errorf("the second caller got %q, %v", got, err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestARequestForATokenIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		s := newSource(counting(time.Hour, time.Hour, &calls, nil))
		begin := time.Now()
		if _, err := s.Token(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != fetchTimeout {
			t.Errorf("took %v, want %v", took, fetchTimeout)
		}
	})
}

func TestAnOutageIsBridgedWhileTheTokenIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		var fail error
		s := newSource(counting(time.Hour, 0, &calls, &fail))
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		fail = problem.New(problem.Unavailable, "down")
		time.Sleep(59*time.Minute + 30*time.Second) // due for renewal, good for 30 s
		if got, err := s.Token(t.Context()); err != nil || got != "token-1" {
			t.Errorf("while the token is good: %q, %v", got, err)
		}
		time.Sleep(31 * time.Second)
		if got, err := s.Token(t.Context()); !problem.Is(err, problem.Unavailable) {
			t.Errorf("when it has expired: %q, %v", got, err)
		}
		fail = nil
		if got, err := s.Token(t.Context()); err != nil || got == "token-1" {
			t.Errorf("after the outage: %q, %v", got, err)
		}
	})
}

func TestInvalidateDropsTheTokenButNotANewerOne(t *testing.T) {
	var calls int
	s := newSource(counting(time.Hour, 0, &calls, nil))
	first, _ := s.Token(t.Context())
	s.Invalidate(first)
	second, _ := s.Token(t.Context())
	if second == first {
		t.Fatal("an invalidated token was given again")
	}
	s.Invalidate(first) // a slow caller's 401
	if third, _ := s.Token(t.Context()); third != second {
		t.Errorf("a late Invalidate of the old token dropped the new one: %q, want %q", third, second)
	}
}
