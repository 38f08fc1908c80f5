package storetest

import (
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// In the memory store a transaction makes all others wait.
func TestRunFeed_Memory(t *testing.T) {
	RunFeed(t, func(*testing.T) incident.FeedStore { return newJournal(memory.New()) })
}

// The broken feeds are made of a feed that keeps the contract.
func TestRunFeed_Abreast(t *testing.T) {
	RunFeed(t, func(*testing.T) incident.FeedStore { return newJournal(newAbreast()) })
}

// feedFault is a feed that breaks the contract in one way, with the cases that must
// reject it.
type feedFault struct {
	name  string
	plant func(j *journal) incident.FeedStore
	cases []string
}

func feedFaults() []feedFault { return append(answerFaults(), journalFaults()...) }

func TestRunFeed_RejectsBrokenFeeds(t *testing.T) {
	byName := feedCasesByName()
	for _, f := range feedFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			wantRejected(t, byName, f.cases, func() incident.FeedStore { return f.plant(newJournal(newAbreast())) })
		})
	}
}

func TestRunFeed_EachCaseRejectsAFeed(t *testing.T) {
	var named []string
	for _, f := range feedFaults() {
		named = append(named, f.cases...)
	}
	wantEachNamed(t, feedCasesByName(), named)
}

func feedCasesByName() map[string]func(*trial, incident.FeedStore) {
	byName := map[string]func(*trial, incident.FeedStore){}
	for _, c := range feedContract() {
		byName[c.name] = c.run
	}
	return byName
}
