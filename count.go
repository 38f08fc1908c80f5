package incident

import (
	"cmp"
	"context"
	"iter"
	"time"
)

// MaxCount is the highest number to which [IncidentManager.Count] counts the incidents of a
// status, if the filter has no lower Limit.
const MaxCount = 10_000

// Counts holds the numbers of incidents by status.
type Counts struct {
	// ByStatus has an entry for each status that the filter selects, at most the Limit of
	// the filter.
	ByStatus map[Status]int `json:"byStatus"`

	// Capped lists the statuses with more incidents than the Limit, in ascending order.
	Capped []Status `json:"capped,omitzero"`
}

// All returns the incidents that match a filter, in the order of [IncidentManager.List]. It
// reads page by page as the loop proceeds; the Limit of the filter is the size of a page. An
// incident that is created, or whose start is edited, during the loop may be missing, and no
// incident is returned twice unless its start is edited. Each loop over the result begins again,
// at the Cursor of the filter. After an error, which comes with the zero Incident, the loop ends.
func All(ctx context.Context, m IncidentManager, f IncidentFilter) iter.Seq2[Incident, error] {
	return func(yield func(Incident, error) bool) {
		f := f
		for {
			page, err := m.List(ctx, f)
			if err != nil {
				yield(Incident{}, err)
				return
			}
			for _, inc := range page.Incidents {
				if !yield(inc, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			f.Cursor = page.Next
		}
	}
}

// countQuery validates the filter and returns its canonical form for a count. Its Limit is 1 above
// that of the filter.
func (f IncidentFilter) countQuery(now time.Time) (q IncidentQuery, err error) {
	limit := cmp.Or(f.Limit, MaxCount)
	switch {
	case f.Cursor != "":
		return q, invalid("cursor", "must be empty to count")
	case limit < 1 || limit > MaxCount:
		return q, invalid("limit", "must be 1 to %d", MaxCount)
	}
	f.Limit = 0
	q, err = f.query(now)
	q.Limit = limit + 1
	return q, err
}

// counted returns the counts of a store, each at most the limit.
func counted(found map[Status]int, wanted []Status, limit int) Counts {
	c := Counts{ByStatus: make(map[Status]int, len(wanted))}
	for _, s := range wanted {
		n := found[s]
		if n > limit {
			n, c.Capped = limit, append(c.Capped, s)
		}
		c.ByStatus[s] = n
	}
	return c
}
