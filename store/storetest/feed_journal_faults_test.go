package storetest

import (
	"context"

	"github.com/incidentkit/incident"
)

// journalFaults record writes at the wrong moment or in the wrong order.
func journalFaults() []feedFault {
	late := []string{"ReportsLateCommits", "ReportsAllUnderConcurrency"}
	return []feedFault{
		{"PollsByNumber", pollsByNumber, late},
		{"ForgetsThoseOnTheirWay", forgetsThoseOnTheirWay, late},
		{"TellsAtTheWrite", tellsAtTheWrite, []string{"ReportsLateCommits", "OmitsUndoneChanges"}},
		{"ReportsAtTheWriteToo", reportsAtTheWriteToo, []string{"ReportsLateCommits", "OmitsUndoneChanges"}},
		{"TellsWhatIsUndone", tellsWhatIsUndone, []string{"OmitsUndoneChanges"}},
		{"TellsWhatIsUndoneWithin", tellsWhatIsUndoneWithin, []string{"OmitsUndoneChanges"}},
		{"UndoneMovesThePosition", undoneMovesThePosition, []string{"OmitsUndoneChanges"}},
		{"NestedNotReported", nestedNotReported, []string{"ReportsLateCommits"}},
		{"CommentsNotReported", commentsNotReported, []string{"ReportsComments"}},
		{"RevisionsNotReported", revisionsNotReported, []string{"ReportsComments"}},
		{"LastChangeOnly", lastChangeOnly, []string{"ReportsLateCommits", "ReportsManyAtOnce"}},
	}
}

// numbering orders transactions by a number that each takes at its first write. A
// position is a number.
func numbering(j *journal, position func(drawn, committed int) int) incident.FeedStore {
	drawn, committed := 0, 0
	j.wrote = func(w *written) {
		if w.number == 0 {
			drawn++
			w.number = drawn
		}
	}
	j.ended = func(w *written, ok bool) {
		if ok {
			j.commits = append(j.commits, w)
			committed = max(committed, w.number)
		}
	}
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		after, err := commitsBefore(ctx, since)
		if err != nil {
			return incident.FeedChanges{}, err
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		c := incident.FeedChanges{Position: afterCommits(position(drawn, committed))}
		for _, w := range j.commits {
			if since != "" && w.number > after {
				report(&c, []*written{w})
			}
		}
		return c, nil
	})
}

func pollsByNumber(j *journal) incident.FeedStore {
	return numbering(j, func(_, committed int) int { return committed })
}

func forgetsThoseOnTheirWay(j *journal) incident.FeedStore {
	return numbering(j, func(drawn, _ int) int { return drawn })
}

func tellsAtTheWrite(j *journal) incident.FeedStore {
	j.ended = func(*written, bool) {}
	return reportsAtTheWriteToo(j)
}

// reportsAtTheWriteToo reports a change at the write and at the commit.
func reportsAtTheWriteToo(j *journal) incident.FeedStore {
	j.wrote = func(w *written) {
		now := *w
		j.commits = append(j.commits, &now)
	}
	return j
}

func tellsWhatIsUndone(j *journal) incident.FeedStore {
	j.ended = func(w *written, _ bool) { j.commits = append(j.commits, w) }
	return j
}

func tellsWhatIsUndoneWithin(j *journal) incident.FeedStore {
	j.nested = func(*written, written, error) {}
	return j
}

// undoneMovesThePosition counts all transactions and keeps the committed ones.
func undoneMovesThePosition(j *journal) incident.FeedStore {
	ended := 0
	keep := j.ended
	j.ended = func(w *written, committed bool) {
		ended++
		keep(w, committed)
	}
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		from, err := commitsBefore(ctx, since)
		if err != nil {
			return incident.FeedChanges{}, err
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		c := incident.FeedChanges{Position: afterCommits(ended)}
		if since != "" {
			report(&c, j.commits[min(from, len(j.commits)):])
		}
		return c, nil
	})
}

func nestedNotReported(j *journal) incident.FeedStore {
	j.nested = func(w *written, before written, _ error) { *w = before }
	return j
}

// commentsNotReported reports changes of versions.
func commentsNotReported(j *journal) incident.FeedStore {
	return reportingIf(j, func(before, now incident.IncidentVersion) bool { return now.Version != before.Version })
}

// revisionsNotReported reports changes of versions, and comments.
func revisionsNotReported(j *journal) incident.FeedStore {
	return reportingIf(j, func(before, now incident.IncidentVersion) bool { return now != before })
}

// reportingIf reports the writes for which a function of the numbers before and after is true.
func reportingIf(j *journal, reported func(before, now incident.IncidentVersion) bool) incident.FeedStore {
	known := map[incident.Key]incident.IncidentVersion{}
	j.wrote = func(w *written) {
		last := len(w.incidents) - 1
		now := w.incidents[last]
		if !reported(known[now.Key], now) {
			w.incidents = w.incidents[:last]
		}
		known[now.Key] = now
	}
	return j
}

// lastChangeOnly reports the last change of a transaction.
func lastChangeOnly(j *journal) incident.FeedStore {
	j.wrote = func(w *written) {
		w.incidents = w.incidents[max(0, len(w.incidents)-1):]
		w.slots = w.slots[max(0, len(w.slots)-1):]
	}
	return j
}
