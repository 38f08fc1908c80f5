package incident

import (
	"context"
	"iter"
)

// MaxCount is the highest number to which [IncidentManager.Count] counts the incidents of a
// status.
const MaxCount = 10_000

// Counts holds the numbers of incidents by status.
type Counts struct {
	// ByStatus has an entry for each status that the filter selects, at most [MaxCount].
	ByStatus map[Status]int `json:"byStatus"`

	// Capped lists the statuses with more than MaxCount incidents, in ascending order.
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

// checkCount refuses a filter with a page.
func (f IncidentFilter) checkCount() error {
	switch {
	case f.Cursor != "":
		return invalid("cursor", "must be empty to count")
	case f.Limit != 0:
		return invalid("limit", "must be 0 to count")
	}
	return nil
}

// counted returns the counts of a store, of which each is at most MaxCount + 1.
func counted(found map[Status]int, wanted []Status) Counts {
	c := Counts{ByStatus: make(map[Status]int, len(wanted))}
	for _, s := range wanted {
		n := found[s]
		if n > MaxCount {
			n, c.Capped = MaxCount, append(c.Capped, s)
		}
		c.ByStatus[s] = n
	}
	return c
}
