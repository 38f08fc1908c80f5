package storetest

import "github.com/incidentkit/incident"

func outboxNotifierContract() []group[incident.OutboxStore] {
	return []group[incident.OutboxStore]{
		{"Notifiers", []outboxCase{
			{"HaveQueuesOfTheirOwn", notifiersHaveQueuesOfTheirOwn},
			{"GetWhatAChangeNames", notifiersGetWhatAChangeNames},
			{"AreSettledAlone", notifiersAreSettledAlone},
			{"ParkAlone", notifiersParkAlone},
			{"AreComparedByteForByte", notifiersAreComparedByteForByte},
			{"DoNotCrowdOthersOut", notifiersDoNotCrowdOthersOut},
			{"AreOfAnOrganization", notifiersAreOfAnOrganization},
			{"FollowTransactions", notifiersFollowTransactions},
			{"LeaveTargetsAlone", notifiersLeaveTargetsAlone},
		}},
		{"Types", []outboxCase{
			{"AreQueuedAlone", typesAreQueuedAlone},
			{"OutliveFailures", typesOutliveFailures},
			{"AreKeptMeanwhile", typesAreKeptMeanwhile},
			{"MayBeNarrowedLater", typesMayBeNarrowedLater},
			{"MayLeaveNothing", typesMayLeaveNothing},
			{"MayLeaveNoReplay", typesMayLeaveNoReplay},
			{"LeaveRemindersAlone", typesLeaveRemindersAlone},
			{"LoseNothingMeanwhile", typesLoseNothingMeanwhile},
		}},
		{"DiscardParked", []outboxCase{
			{"WorksInBatches", discardParkedCall().worksInBatches},
			{"LeavesTheRest", discardParkedLeavesTheRest},
			{"ReturnsErrNotFound", discardParkedCall().returnsErrNotFound},
		}},
		{"Discard", []outboxCase{
			{"DeletesAllOfANotifier", discardDeletesAllOfANotifier},
			{"EndsClaims", discardEndsClaims},
			{"IsLimited", discardIsLimited},
			{"OfNothing", discardOfNothing},
		}},
	}
}

func outboxReminderContract() []group[incident.OutboxStore] {
	return []group[incident.OutboxStore]{
		{"SetReminder", []outboxCase{
			{"KeepsEveryField", setReminderKeepsEveryField},
			{"ComparesNames", setReminderComparesNames},
			{"IsDueAtItsTime", setReminderIsDueAtItsTime},
			{"MayBeInThePast", setReminderMayBeInThePast},
			{"MovesIt", setReminderMovesIt},
			{"AgainChangesNothing", setReminderAgainChangesNothing},
			{"IsLimited", setReminderIsLimited},
			{"ChecksTheVersion", setReminderChecksTheVersion},
			{"ReturnsErrNotFound", setReminderReturnsErrNotFound},
			{"LeavesTheIncidentAlone", setReminderLeavesTheIncidentAlone},
			{"EndsClaims", outlives("a later At", "an earlier At", "another Unless", "another notifier")},
			{"EndsClaimsOfTheSame", outlives("another At and the same again")},
			{"IsNewAfterItsEnd", setReminderIsNewAfterItsEnd},
			{"KeepsFencesApart", setReminderKeepsFencesApart},
			{"DuringItsDelivery", setReminderDuringItsDelivery},
			{"ComesBeforeTheEndOrFails", setReminderComesBeforeTheEndOrFails},
		}},
		{"CancelReminder", []outboxCase{
			{"EndsIt", cancelReminderEndsIt},
			{"EndsClaims", outlives("CancelReminder", "CancelReminder and the same again")},
			{"OfNothing", cancelReminderOfNothing},
			{"ReturnsErrNotFound", cancelReminderReturnsErrNotFound},
		}},
		{"Reminders", []outboxCase{
			{"AreInOrder", remindersAreInOrder},
			{"AreTheCallersMemory", remindersAreTheCallersMemory},
			{"ReturnErrNotFound", remindersReturnErrNotFound},
		}},
		{"EndReminders", []outboxCase{
			{"EndsAll", endRemindersEndsAll},
			{"EndsClaims", outlives("EndReminders", "EndReminders and the same again")},
			{"LeavesTheRest", endRemindersLeavesTheRest},
			{"OfOneIncident", endRemindersOfOneIncident},
			{"OfAWriteOnly", endRemindersOfAWriteOnly},
		}},
		{"DueReminder", []outboxCase{
			{"IsRetried", dueReminderIsRetried},
			{"IsAQueueOfItsOwn", dueReminderIsAQueueOfItsOwn},
			{"IsParked", dueReminderIsParked},
			{"IsReplayed", dueReminderIsReplayed},
			{"StandsBesideParked", dueReminderStandsBesideParked},
			{"MayBeParkedTwice", dueReminderMayBeParkedTwice},
			{"StandsOut", dueReminderStandsOut},
			{"IsLimited", dueReminderIsLimited},
			{"TakesTurns", dueReminderTakesTurns},
			{"IsPending", dueReminderIsPending},
		}},
	}
}
