package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// lacking returns a store whose named methods return fail().
func lacking(s incident.Store, fail func() error, methods ...string) incident.Store {
	b := &broken{Store: s}
	for _, method := range methods {
		switch method {
		case "LoadSlot":
			b.loadSlot = func(context.Context, incident.Slot) (st incident.SlotState, err error) { return st, fail() }
		case "LoadDetails":
			b.loadDetails = func(context.Context, incident.Key, incident.UserID) (d incident.Details, err error) { return d, fail() }
		case "Incidents":
			b.incidents = func(context.Context, incident.IncidentQuery) ([]incident.Incident, error) { return nil, fail() }
		case "CountIncidents":
			b.count = func(context.Context, incident.IncidentQuery) (map[incident.Status]int, error) { return nil, fail() }
		case "Activities":
			b.activities = func(context.Context, incident.Key, incident.ActivityQuery) (l incident.ActivityLog, err error) {
				return l, fail()
			}
		case "Activity":
			b.activity = func(context.Context, incident.Key, int64) (a incident.Activity, err error) { return a, fail() }
		case "ReviseActivity":
			b.revise = func(context.Context, incident.Activity) error { return fail() }
		case "MarkSeen":
			b.markSeen = func(context.Context, incident.Seen) (seen incident.Seen, err error) { return seen, fail() }
		case "SeenBy":
			b.seenBy = func(context.Context, incident.Key) ([]incident.Seen, error) { return nil, fail() }
		case "Subscribe":
			b.subscribe = func(context.Context, incident.Subscription) (sub incident.Subscription, err error) {
				return sub, fail()
			}
		case "Unsubscribe":
			b.unsubscribe = func(context.Context, incident.Key, incident.UserID) error { return fail() }
		case "Subscribers":
			b.subscribers = func(context.Context, incident.Key) ([]incident.Subscription, error) { return nil, fail() }
		default:
			panic("lacking does not know " + method)
		}
	}
	b.inTx = func(ctx context.Context, fn func(tx incident.Store) error) error {
		return s.InTx(ctx, func(tx incident.Store) error { return fn(lacking(tx, fail, methods...)) })
	}
	if slices.Contains(methods, "InTx") {
		b.inTx = func(context.Context, func(tx incident.Store) error) error { return fail() }
	}
	return b
}

var optionalMethods = []string{
	"LoadSlot", "LoadDetails", "Incidents", "CountIncidents", "Activities", "Activity", "ReviseActivity", "MarkSeen", "SeenBy",
	"Subscribe", "Unsubscribe", "Subscribers",
}

// failure is a way in which a method fails that is not implemented.
type failure struct {
	name string
	fail func() error
}

var failures = []failure{
	{"ErrUnsupported", func() error { return fmt.Errorf("toy: %w", errors.ErrUnsupported) }},
	{"panic", func() error { panic("unimplemented") }}, // a stub of gopls
}

// failuresOf returns the failures to test for method i. In the short form the methods take
// turns, since each failure runs all cases.
func failuresOf(i int) []failure {
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
		return failures
	}
	i %= len(failures)
	return failures[i : i+1]
}

// checkNamed checks that a case names the method without which it fails, and that the method's own
// cases fail. A case that does not name the method may have failed since the machine is busy: it runs
// again, and waits as long as for a store of a host.
func checkNamed(t *testing.T, name, method string, check func(patience time.Duration) (failed bool, report string)) (failed bool) {
	t.Helper()
	failed, report := check(briefPatience)
	if failed && !strings.Contains(report, method) {
		failed, report = check(patience)
	}
	if failed && !strings.Contains(report, method) {
		t.Errorf("%s does not name %s:\n%s", name, method, report)
	}
	if own := strings.HasPrefix(name, method+"/"); own && !failed {
		t.Errorf("%s passes without %s", name, method)
	}
	return failed
}

// A method that is not implemented fails its own cases. Each case that it fails names
// the method.
func TestRun_unimplementedMethodFailsItsCasesByName(t *testing.T) {
	all := casesByName(contract())
	for i, method := range optionalMethods {
		for _, f := range failuresOf(i) {
			t.Run(method+" "+f.name, func(t *testing.T) {
				t.Parallel()
				passed := 0
				for name, run := range all {
					failed := checkNamed(t, name, method, func(patience time.Duration) (bool, string) {
						return rejectsWithin(t, patience, name, run, lacking(memory.New(), f.fail, method))
					})
					if !failed {
						passed++
					}
				}
				t.Logf("%d of %d cases pass without %s", passed, len(all), method)
				if passed < len(all)/2 {
					t.Errorf("%d of %d cases pass without %s, want half of them", passed, len(all), method)
				}
			})
		}
	}
}

// A new store that has Load, Apply and InTx passes cases.
func TestRun_growingStorePassesCases(t *testing.T) {
	all := casesByName(contract())
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range []string{
				"Load/ReturnsTheState", "Load/ReturnsErrNotFound", "Load/IsOneRead",
				"Apply/LeavesTheChangeAlone", "Apply/ReturnsErrNotFoundForAChange", "Apply/ReturnsErrNotFoundForAComment",
				"Apply/IdentifiersAreGapless", "Apply/FailuresUseNoIdentifier", "Apply/FailuresUseNoSequence",
				"Apply/ChecksTheVersion", "Apply/OfACommentNeedsNoVersion", "Apply/ClearsDateClosed",
				"Replay/OfACreation", "Replay/OfAKnownDetectionUUID", "Replay/OfAStatusChange", "Replay/KeepsOrganizationsApart",
				"Replay/ComparesWholeUUIDs", "Replay/RefusesAnotherIncidentsUUID", "Replay/ForgetsUUIDsOfFailures",
				"Slots/AreHeldByOne", "Slots/AreClaimedAfterTheVersionCheck", "Slots/HaveOneWinner",
			} {
				if failed, report := rejects(t, name, all[name], lacking(memory.New(), f.fail, optionalMethods...)); failed {
					t.Errorf("%s fails:\n%s", name, report)
				}
			}
		})
	}
}

// lackingOutbox returns an outbox with one method that returns fail().
func lackingOutbox(s incident.OutboxStore, fail func() error, method string) incident.OutboxStore {
	b := &brokenOutbox{OutboxStore: s}
	batch := func(context.Context, incident.ParkedQuery) (b incident.ParkedBatch, err error) { return b, fail() }
	switch method {
	case "Claim":
		b.claim = func(context.Context, incident.ClaimQuery) ([]incident.Claim, error) { return nil, fail() }
	case "Settle":
		b.settle = func(context.Context, []incident.Settlement) ([]int, error) { return nil, fail() }
	case "Backlog":
		b.backlog = func(context.Context) (map[string]incident.Backlog, error) { return nil, fail() }
	case "Parked":
		b.parked = func(context.Context, incident.ParkedQuery) ([]incident.ParkedNotification, error) { return nil, fail() }
	case "Replay":
		b.replay = batch
	case "DiscardParked":
		b.discardParked = batch
	case "Discard":
		b.discard = func(context.Context, string, int) (int, error) { return 0, fail() }
	case "SetReminder":
		b.setReminder = func(context.Context, incident.ReminderWrite) (bool, error) { return false, fail() }
	case "CancelReminder":
		b.cancelReminder = func(context.Context, incident.Key, string) error { return fail() }
	case "Reminders":
		b.reminders = func(context.Context, incident.Key) ([]incident.Reminder, error) { return nil, fail() }
	default:
		panic("lackingOutbox does not know " + method)
	}
	b.inTx = withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
		return lackingOutbox(tx, fail, method)
	}).inTx
	return b
}

var outboxMethods = []string{
	"Claim", "Settle", "Backlog", "Parked", "Replay", "DiscardParked", "Discard", "SetReminder", "CancelReminder", "Reminders",
}

func TestRunOutbox_unimplementedMethodFailsItsCasesByName(t *testing.T) {
	all := casesByName(outboxContract())
	for i, method := range outboxMethods {
		for _, f := range failuresOf(i) {
			t.Run(method+" "+f.name, func(t *testing.T) {
				t.Parallel()
				for name, run := range all {
					checkNamed(t, name, method, func(patience time.Duration) (bool, string) {
						return rejectsWithin(t, patience, name, run, lackingOutbox(memory.New(), f.fail, method))
					})
				}
			})
		}
	}
}
