package storetest

import (
	"slices"
	"testing"

	"github.com/incidentkit/incident"
)

// RunOutbox checks the contract of [incident.OutboxStore]. See [Run]. The cases wait for
// leases of some milliseconds and up to 30 seconds for events that must happen, so that
// slow stores pass. Nobody else may claim from the same data.
func RunOutbox(t *testing.T, newStore func(t *testing.T) incident.OutboxStore) {
	t.Helper()
	runGroups(t, slices.Concat(outboxContract(), outboxNamedContract()), newStore)
}

// outboxContract lists the promises of an outbox, as contract does those of a store.
func outboxContract() []group[incident.OutboxStore] {
	return slices.Concat(outboxDeliveryContract(), outboxSupportContract(), outboxNotifierContract(), outboxReminderContract())
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
			{"IsNotMadeDueByMore", queueIsNotMadeDueByMore},
		}},
		{"Claim", []outboxCase{
			{"IsWhole", claimIsWhole},
			{"IsWholeAfterOperations", claimIsWholeAfterOperations},
			{"IsOfThePresent", claimIsOfThePresent},
			{"IsOneRead", claimIsOneRead},
			{"ReportsMore", claimReportsMore},
			{"IsOfOneAtATime", claimIsOfOneAtATime},
			{"ExcludesOthers", claimExcludesOthers},
			{"EndsWithItsLease", claimEndsWithItsLease},
			{"MayLastForever", claimMayLastForever},
			{"HasItsOwnFence", claimHasItsOwnFence},
			{"IsLimited", claimIsLimited},
			{"IsLimitedPerOrganization", claimIsLimitedPerOrganization},
			{"ContinuesAfterAnOrganization", claimContinuesAfterAnOrganization},
			{"KeepsAllowances", claimKeepsAllowances},
			{"LeavesOrganizationsOut", claimLeavesOrganizationsOut},
			{"BeginsWithTheLongestDue", claimBeginsWithTheLongestDue},
			{"GoesToOneOfMany", claimGoesToOneOfMany},
			{"IsTheCallersMemory", claimIsTheCallersMemory},
		}},
		{"Settle", []outboxCase{
			{"DeliveredContinues", settleDeliveredContinues},
			{"RetryWaits", settleRetryWaits},
			{"RetryMayWaitForever", settleRetryMayWaitForever},
			{"ReleaseTakesTheAttemptBack", settleReleaseTakesTheAttemptBack},
			{"ParkContinues", settleParkContinues},
			{"AfterOthersHaveClaimed", settleAfterOthersHaveClaimed},
			{"AfterTheLease", settleAfterTheLease},
			{"Again", settleAgain},
			{"WhatIsUnknown", settleWhatIsUnknown},
			{"EndsEach", settleEndsEach},
			{"LeavesItsArgumentsAlone", settleLeavesItsArgumentsAlone},
		}},
		{"Leases", []outboxCase{
			{"ClaimNewQueues", leasesClaimNewQueues},
			{"End", leasesEnd},
			{"EndWithALaterActivity", leasesEndWithALaterActivity},
			{"AreOfEachNotifier", leasesAreOfEachNotifier},
			{"LeaveTransactionsAlone", leasesLeaveTransactionsAlone},
		}},
	}
}

func outboxSupportContract() []group[incident.OutboxStore] {
	return []group[incident.OutboxStore]{
		{"Parked", []outboxCase{
			{"AreWhole", parkedAreWhole},
			{"ArePaged", parkedArePaged},
			{"AreInOrderOfPosition", parkedAreInOrderOfPosition},
		}},
		{"Replay", []outboxCase{
			{"QueuesEachAgain", replayQueuesEachAgain},
			{"ParksAgain", replayParksAgain},
			{"IsAQueueOfItsOwn", replayIsAQueueOfItsOwn},
			{"IgnoresClaimsFromBefore", replayIgnoresClaimsFromBefore},
			{"OfNothing", replayOfNothing},
			{"ReturnsErrNotFound", replayReturnsErrNotFound},
			{"WorksInBatches", replayCall().worksInBatches},
			{"OfNotifiersReturnsErrNotFound", replayCall().returnsErrNotFound},
		}},
		{"Backlog", []outboxCase{
			{"CountsAll", backlogCountsAll},
			{"ReportsTheOldest", backlogReportsTheOldest},
		}},
		{"Isolation", []outboxCase{
			{"OfClaims", outboxIsolatesClaims},
			{"OfParked", outboxIsolatesParked},
			{"OfReminders", outboxIsolatesReminders},
		}},
		{"Context", []outboxCase{
			{"CancelledBefore", outboxContextCancelledBefore},
			{"CancelledWithinTx", outboxContextCancelledWithinTx},
		}},
		{"InTx", []outboxCase{
			{"ReplaysAndCommits", outboxTxReplaysAndCommits},
			{"UndoesAReplay", outboxTxUndoesAReplay},
			{"UndoesBatches", outboxTxUndoesBatches},
			{"CommitsReminders", outboxTxCommitsReminders},
			{"UndoesReminders", outboxTxUndoesReminders},
			{"NestsReminders", outboxTxNestsReminders},
			{"HidesReminders", outboxTxHidesReminders},
		}},
		{"Outbox", []outboxCase{
			{"LosesAndRepeatsNothing", outboxLosesAndRepeatsNothing},
			{"LosesAndRepeatsNoReminder", outboxLosesAndRepeatsNoReminder},
			{"OutlivesItsUsers", outboxOutlivesItsUsers},
		}},
	}
}
