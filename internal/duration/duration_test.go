package duration

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAdd_doesNotOverflow(t *testing.T) {
	for _, c := range []struct{ a, b, want time.Duration }{
		{1, 2, 3}, {0, Forever, Forever}, {Forever, 0, Forever}, {Forever, 1, Forever}, {Forever, Forever, Forever},
	} {
		if got := Add(c.a, c.b); got != c.want {
			t.Errorf("Add(%d, %d) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		Pause(t.Context(), -1)
		Pause(t.Context(), time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		Pause(ctx, Forever)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("the pauses took %v, want 2s", took)
		}
	})
}
