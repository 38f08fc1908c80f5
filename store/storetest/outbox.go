package storetest

import (
	"slices"
	"testing"

	"github.com/incidentkit/incident"
)

// RunOutbox runs the cases of [incident.OutboxStore], as [Run] does those of the rest.
// They wait for leases of some milliseconds, and give what must happen half a minute: a
// slow store passes. Other claims of the same data would disturb them.
func RunOutbox(t *testing.T, newStore func(t *testing.T) incident.OutboxStore) {
	t.Helper()
	runGroups(t, outboxContract(), newStore)
}

// outboxContract lists the promises of an outbox, as contract does those of a store.
func outboxContract() []group[incident.OutboxStore] {
	return slices.Concat(outboxDeliveryContract(), outboxSupportContract())
}

func outboxDeliveryContract() []group[incident.OutboxStore] {
	return []group[incident.OutboxStore]{
		{"Queue", []outboxCase{
			{"HoldsWhatNotifies", queueHoldsWhatNotifies},
			{"LeavesOutWhatDoesNot", queueLeavesOutWhatDoesNot},
			{"HoldsNothingOfFailures", queueHoldsNothingOfFailures},
			{"HoldsNothingOfReplays", queueHoldsNothingOfReplays},
			{"HoldsNothingThatWasUndone", queueHoldsNothingThatWasUndone},
			{"HoldsWhatIsCommitted", queueHoldsWhatIsCommitted},
			{"HoldsWhatIsCommittedLate", queueHoldsWhatIsCommittedLate},
			{"KeepsWhatIsAppendedMeanwhile", queueKeepsWhatIsAppendedMeanwhile},
			{"IsNotHurriedByMore", queueIsNotHurriedByMore},
		}},
		{"Claim", []outboxCase{
			{"IsWhole", claimIsWhole},
			{"IsOfThePresent", claimIsOfThePresent},
			{"IsOneRead", claimIsOneRead},
			{"TellsOfMore", claimTellsOfMore},
			{"IsOfOneAtATime", claimIsOfOneAtATime},
			{"ExcludesOthers", claimExcludesOthers},
			{"EndsWithItsLease", claimEndsWithItsLease},
			{"MayLastForEver", claimMayLastForEver},
			{"HasItsOwnFence", claimHasItsOwnFence},
			{"IsLimited", claimIsLimited},
			{"IsLimitedPerOrganization", claimIsLimitedPerOrganization},
			{"GoesOnBehindAnOrganization", claimGoesOnBehindAnOrganization},
			{"KeepsAllowances", claimKeepsAllowances},
			{"LeavesOrganizationsOut", claimLeavesOrganizationsOut},
			{"BeginsWithTheLongestDue", claimBeginsWithTheLongestDue},
			{"GoesToOneOfMany", claimGoesToOneOfMany},
			{"IsTheCallersMemory", claimIsTheCallersMemory},
		}},
		{"Settle", []outboxCase{
			{"DeliveredGoesOn", settleDeliveredGoesOn},
			{"RetryWaits", settleRetryWaits},
			{"RetryMayWaitForEver", settleRetryMayWaitForEver},
			{"ReleaseTakesTheAttemptBack", settleReleaseTakesTheAttemptBack},
			{"ParkGoesOn", settleParkGoesOn},
			{"AfterOthersHaveClaimed", settleAfterOthersHaveClaimed},
			{"AfterTheLease", settleAfterTheLease},
			{"Again", settleAgain},
			{"WhatIsUnknown", settleWhatIsUnknown},
			{"EndsEach", settleEndsEach},
			{"LeavesItsArgumentsAlone", settleLeavesItsArgumentsAlone},
		}},
	}
}

func outboxSupportContract() []group[incident.OutboxStore] {
	return []group[incident.OutboxStore]{
		{"Parked", []outboxCase{
			{"AreWhole", parkedAreWhole},
			{"ArePaged", parkedArePaged},
		}},
		{"Replay", []outboxCase{
			{"QueuesEachAgain", replayQueuesEachAgain},
			{"ParksAgain", replayParksAgain},
			{"IsAQueueOfItsOwn", replayIsAQueueOfItsOwn},
			{"IgnoresClaimsFromBefore", replayIgnoresClaimsFromBefore},
			{"OfNothing", replayOfNothing},
			{"ReturnsErrNotFound", replayReturnsErrNotFound},
		}},
		{"Backlog", []outboxCase{
			{"CountsAll", backlogCountsAll},
			{"TellsTheOldest", backlogTellsTheOldest},
		}},
		{"Isolation", []outboxCase{
			{"OfClaims", outboxIsolatesClaims},
			{"OfParked", outboxIsolatesParked},
		}},
		{"Context", []outboxCase{
			{"CancelledBefore", outboxContextCancelledBefore},
			{"CancelledWithinTx", outboxContextCancelledWithinTx},
		}},
		{"InTx", []outboxCase{
			{"ReplaysAndCommits", outboxTxReplaysAndCommits},
			{"UndoesAReplay", outboxTxUndoesAReplay},
		}},
		{"Outbox", []outboxCase{
			{"LosesAndRepeatsNothing", outboxLosesAndRepeatsNothing},
			{"OutlivesItsUsers", outboxOutlivesItsUsers},
		}},
	}
}
