package incident

import (
	"context"
	"time"

	"github.com/incidentkit/incident/internal/duration"
)

const (
	// batchTime is how long a batch of deletions may take, since writers may wait for it.
	batchTime = 20 * time.Millisecond

	// firstBatch is the size of the first batch, before its time is known.
	firstBatch = 10

	// maxPurgeBatch is the most incidents that a batch deletes.
	maxPurgeBatch = 100

	// maxEraseBatch is the most incidents that a batch of EraseUser visits. Most have no
	// trace of the user.
	maxEraseBatch = 1000

	// pauseFactor is the pause after a batch, as a multiple of its time: a fifth of the time
	// is for deletions.
	pauseFactor = 4

	// maxPause bounds the pause after a batch.
	maxPause = 2 * time.Second

	// blockedPause is the time of a batch that could delete nothing.
	blockedPause = 10 * time.Millisecond
)

// pace is the pace of a call or a pass that works in batches.
type pace struct {
	size int // of the next batch
	most int
}

func newPace(most int) pace { return pace{size: firstBatch, most: most} }

// rest pauses after a batch that took a time for n incidents, and chooses the size of the next
// batch. It returns the context's error if ctx ends.
func (p *pace) rest(ctx context.Context, took time.Duration, n int) error {
	p.adapt(took, n)
	duration.Pause(ctx, min(took, maxPause/pauseFactor)*pauseFactor)
	return ctx.Err()
}

// adapt chooses the size of the next batch. The size doubles only after a full batch, since
// smaller batches tell less about the time of a larger batch.
func (p *pace) adapt(took time.Duration, n int) {
	switch {
	case took > batchTime:
		p.size = max(int(float64(p.size)*float64(batchTime)/float64(took)), 1)
	case took < batchTime/2 && n >= p.size:
		p.size = min(2*p.size, p.most)
	}
}
