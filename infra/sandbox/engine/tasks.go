package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

const (
	kindNegotiation = "negotiation"
	kindTransfer    = "transfer"

	// maxParallel bounds the tasks that run at once.
	maxParallel = 64
)

// againError makes a task run again later; the state is as before.
type againError struct{ cause error }

func (e *againError) Error() string { return e.cause.Error() }
func (e *againError) Unwrap() error { return e.cause }

// errMoot ends a task: what it was to do is no longer called for.
var errMoot = errors.New("the process is in another state")

// Start resumes the tasks that are left from before and runs new ones until Stop.
func (e *Engine) Start() {
	e.life, e.stop = context.WithCancel(context.Background())
	e.work = make(chan model.Task)
	for range maxParallel {
		e.wg.Go(func() {
			for {
				select {
				case <-e.life.Done():
					return
				case t := <-e.work:
					e.run(t)
				}
			}
		})
	}
	var left []model.Task
	e.Store.View(func(tx *store.Tx) {
		for _, t := range e.Store.Tasks.All(tx) {
			left = append(left, *t)
		}
	})
	for _, t := range left {
		e.schedule(t)
	}
	e.introduceAll()
}

// Stop ends all tasks; they go on at the next Start.
func (e *Engine) Stop() {
	e.stop()
	e.wg.Wait()
}

// addTask writes a task in the transaction that made its state; the caller schedules it when that is done.
func (e *Engine) addTask(tx *store.Tx, kind, process, state string) (model.Task, error) {
	t := model.Task{ID: uuid.NewString(), Kind: kind, ProcessID: process, State: state, NotBefore: time.Now().Add(e.Config.Delays.Step).UnixMilli()}
	return t, e.Store.Tasks.Put(tx, t.ID, &t)
}

func (e *Engine) schedule(t model.Task) {
	if t.ID == "" {
		return
	}
	e.wg.Go(func() {
		if wait := time.Until(time.UnixMilli(t.NotBefore)); wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-e.life.Done():
				return
			case <-timer.C:
			}
		}
		select {
		case <-e.life.Done():
		case e.work <- t:
		}
	})
}

func (e *Engine) run(t model.Task) {
	var err error
	if t.Kind == kindNegotiation {
		err = e.negotiationStep(e.life, t)
	} else {
		err = e.transferStep(e.life, t)
	}
	if e.life.Err() != nil {
		return // the task stays as it is and runs again after the next start
	}
	log := e.Log.With().Str("process_id", t.ProcessID).Str("kind", t.Kind).Str("state", t.State).Int("attempt", t.Attempt).Logger()
	var again *againError
	switch {
	case errors.As(err, &again):
		t.Attempt++
		t.NotBefore = time.Now().Add(e.Config.Delays.Retry).UnixMilli()
		log.Info().Err(again.cause).Msg("step is tried again")
		if uerr := e.Store.Update(func(tx *store.Tx) error { return e.Store.Tasks.Put(tx, t.ID, &t) }); uerr != nil {
			log.Error().Err(uerr).Msg("task not written")
		}
		e.schedule(t)
		return
	case err != nil && !errors.Is(err, errMoot):
		log.Error().Err(err).Msg("step failed")
	}
	if uerr := e.Store.Update(func(tx *store.Tx) error { return e.Store.Tasks.Delete(tx, t.ID) }); uerr != nil {
		log.Error().Err(uerr).Msg("task not removed")
	}
}

// lastAttempt reports whether a task has been tried as often as a refused DSP message is.
func (e *Engine) lastAttempt(t model.Task) bool { return t.Attempt+1 >= e.Config.Delays.Retries }
