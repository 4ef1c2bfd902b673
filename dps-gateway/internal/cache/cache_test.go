package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/cache"
)

func TestItIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c := cache.New[int, string](10)
	end := time.Now().Add(time.Hour)
	c.Put(-1, "in use", end)
	for i := range 1000 {
		c.Put(i, "x", end)
		if v, ok := c.Get(-1); !ok || v != "in use" {
			t.Fatalf("the entry in use was dropped at %d", i)
		}
	}
	kept := 0
	for i := range 1000 {
		if _, ok := c.Get(i); ok {
			kept++
		}
	}
	if kept > 20 {
		t.Errorf("%d entries are kept", kept)
	}
	c.Drop(-1)
	if _, ok := c.Get(-1); ok {
		t.Error("dropped and still there")
	}
}

func TestAnEntryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string, int](10)
		c.Put("a", 1, time.Now().Add(time.Second))
		time.Sleep(999 * time.Millisecond)
		if _, ok := c.Get("a"); !ok {
			t.Error("gone before its end")
		}
		time.Sleep(2 * time.Millisecond)
		if _, ok := c.Get("a"); ok {
			t.Error("there after its end")
		}
	})
}
