package storetest

import (
	"slices"

	"github.com/incidentkit/incident"
)

// contract lists the promises of a store. Each group is a method or a subject, and each
// case is a promise.
func contract() []group[incident.Store] {
	return slices.Concat(
		readContract(), listContract(), applyContract(), slotContract(), activityContract(), userContract(), valueContract(), txContract(),
	)
}

func readContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"Load", []storeCase{
			{"ReturnsTheState", loadReturnsTheState},
			{"ReturnsErrNotFound", refusesUnknown("Load", load)},
			{"IsOneRead", loadIsOneRead},
		}},
		{"LoadSlot", []storeCase{
			{"IsZeroWhenUnclaimed", loadSlotIsZeroWhenUnclaimed},
			{"ReturnsTheHolder", loadSlotReturnsTheHolder},
			{"IsOneRead", loadSlotIsOneRead},
			{"ReturnsTheLastHolder", loadSlotReturnsTheLastHolder},
			{"ReturnsTheLastOfSeveral", loadSlotReturnsTheLastOfSeveral},
			{"ReturnsLastHoldersOfTheOrganization", loadSlotReturnsLastHoldersOfTheOrganization},
			{"ReturnsTheLastHolderInTx", loadSlotReturnsTheLastHolderInTx},
			{"ReturnsTheLastHolderInOneRead", loadSlotReturnsTheLastHolderInOneRead},
		}},
		{"LoadDetails", []storeCase{
			{"IsAboutTheUser", loadDetailsIsAboutTheUser},
			{"OfABareIncident", loadDetailsOfABareIncident},
			{"ReturnsErrNotFound", refusesUnknown("LoadDetails", loadDetails)},
			{"IsOneRead", loadDetailsIsOneRead},
		}},
	}
}

func listContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"Incidents", []storeCase{
			{"FilteredByProjects", filteredBy(projectConditions)},
			{"FilteredByAccess", filteredBy(accessConditions)},
			{"OfProjectsWithinAccess", incidentsOfProjectsWithinAccess},
			{"WithinAccessFollowProjects", incidentsWithinAccessFollowProjects},
			{"FilteredByStatuses", filteredBy(statusConditions)},
			{"FilteredByAlertRule", filteredBy(ruleConditions)},
			{"FilteredByLiteralTitle", filteredBy(titleConditions)},
			{"FilteredByWindow", filteredBy(windowConditions)},
			{"MayLastForCenturies", incidentsMayLastForCenturies},
			{"MeetAllConditions", incidentsMeetAllConditions},
			{"AreWhole", incidentsAreWhole},
			{"MayBeNone", incidentsMayBeNone},
			{"FollowChanges", incidentsFollowChanges},
			{"AreLimited", incidentsAreLimited},
			{"ArePagedFromBothEnds", incidentsArePagedFromBothEnds},
			{"ArePagedFromAnyPosition", incidentsArePagedFromAnyPosition},
			{"ArePagedFromVacantPositions", incidentsArePagedFromVacantPositions},
			{"ArePagedWithinConditions", incidentsArePagedWithinConditions},
			{"ArePagedWhileOthersAreAdded", incidentsArePagedWhileOthersAreAdded},
			{"FollowMovedStarts", incidentsFollowMovedStarts},
			{"WithinAWindowFollowMovedStarts", incidentsWithinAWindowFollowMovedStarts},
			{"FilteredByLabels", filteredBy(labelConditions)},
			{"FilteredByLiteralLabels", incidentsFilteredByLiteralLabels},
			{"WithLabelsMeetOtherConditions", incidentsWithLabelsMeetOtherConditions},
			{"WithLabelsMeetAllConditions", incidentsWithLabelsMeetAllConditions},
			{"WithLabelsArePagedFromBothEnds", incidentsWithLabelsArePagedFromBothEnds},
			{"WithLabelsArePagedFromAnyPosition", incidentsWithLabelsArePagedFromAnyPosition},
			{"FollowLabels", incidentsFollowLabels},
			{"FollowLabelsUnderConcurrency", incidentsFollowLabelsUnderConcurrency},
			{"FilteredByAssignee", filteredBy(assigneeConditions)},
			{"FilteredByAcknowledgement", filteredBy(acknowledgedConditions)},
			{"OfPeopleMeetOtherConditions", incidentsOfPeopleMeetOtherConditions},
			{"FollowResponses", incidentsFollowResponses},
		}},
		{"CountIncidents", []storeCase{
			{"MeetsConditions", countMeetsConditions},
			{"MeetsAllConditions", countMeetsAllConditions},
			{"IsLimitedByStatus", countIsLimitedByStatus},
			{"IgnoresThePage", countIgnoresThePage},
			{"MayBeNone", countMayBeNone},
			{"FollowsChanges", countFollowsChanges},
			{"IsOneRead", countIsOneRead},
		}},
	}
}

func applyContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"Apply", []storeCase{
			{"FillsInTheIdentifier", applyFillsInTheIdentifier},
			{"ReturnsWhatIsStored", applyReturnsWhatIsStored},
			{"LeavesTheChangeAlone", applyLeavesTheChangeAlone},
			{"ReturnsErrNotFoundForAChange", refusesUnknown("Apply", applyChange)},
			{"ReturnsErrNotFoundForAComment", refusesUnknown("Apply", applyComment)},
			{"IdentifiersAreGapless", applyIdentifiersAreGapless},
			{"FailuresUseNoIdentifier", applyFailuresUseNoIdentifier},
			{"IdentifiersAreGaplessUnderConcurrency", applyIdentifiersAreGaplessUnderConcurrency},
			{"SequencesAreGapless", applySequencesAreGapless},
			{"FailuresUseNoSequence", applyFailuresUseNoSequence},
			{"SequencesAreGaplessUnderConcurrency", applySequencesAreGaplessUnderConcurrency},
			{"ChecksTheVersion", applyChecksTheVersion},
			{"OfACommentNeedsNoVersion", applyOfACommentNeedsNoVersion},
			{"LetsOneOfAVersionWin", applyLetsOneOfAVersionWin},
			{"LosesNoUpdate", applyLosesNoUpdate},
			{"ClearsDateClosed", applyClearsDateClosed},
			{"LinksAndUnlinks", applyLinksAndUnlinks},
			{"ReplacesTriggersByName", applyReplacesTriggersByName},
			{"KeepsTheFirstSubscription", applyKeepsTheFirstSubscription},
			{"OfSubscriptionsOnly", applyOfSubscriptionsOnly},
			{"WritesEachCombinationOfACreation", applyWritesEachCombinationOfACreation},
			{"WritesEachCombinationOfAChange", applyWritesEachCombinationOfAChange},
		}},
		{"Replay", []storeCase{
			{"OfAKnownDetectionUUID", applyReplaysKnownDetectionUUID},
			{"OfACreation", applyReplaysACreation},
			{"OfAStatusChange", applyReplaysAStatusChange},
			{"OfAComment", applyReplaysAComment},
			{"UnderConcurrency", applyReplaysUnderConcurrency},
			{"KeepsOrganizationsApart", applyKeepsUUIDsOfOrganizationsApart},
			{"ComparesWholeUUIDs", applyComparesWholeUUIDs},
			{"RefusesAnotherIncidentsUUID", applyRefusesAnotherIncidentsUUID},
			{"TakesAZeroDetectionUUIDForNone", applyTakesAZeroDetectionUUIDForNone},
			{"ForgetsUUIDsOfFailures", applyForgetsUUIDsOfFailures},
		}},
	}
}

func slotContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"Slots", []storeCase{
			{"AreHeldByOne", slotsAreHeldByOne},
			{"AreClaimedTogether", slotsAreClaimedTogether},
			{"WithoutAQueryAreHeldByOne", slotsWithoutAQueryAreHeldByOne},
			{"DifferInEachField", slotsDifferInEachField},
			{"CountClaimsAndReleases", slotsCountClaimsAndReleases},
			{"AreFreeWhenReleased", slotsAreFreeWhenReleased},
			{"MoveWithinAChange", slotsMoveWithinAChange},
			{"AreClaimedAfterTheVersionCheck", slotsAreClaimedAfterTheVersionCheck},
			{"HaveOneWinner", slotsHaveOneWinner},
			{"AdmitOneReopening", slotsAdmitOneReopening},
			{"CountUnderConcurrency", slotsCountUnderConcurrency},
			{"AreExpectedInAVersion", slotsAreExpectedInAVersion},
			{"AreExpectedAlone", slotsAreExpectedAlone},
			{"AreExpectedAfterOtherChecks", slotsAreExpectedAfterOtherChecks},
			{"AreExpectedInTx", slotsAreExpectedInTx},
			{"AreExpectedAfterTheCommit", slotsAreExpectedAfterTheCommit},
			{"AdmitOneDecisionOnAVersion", slotsAdmitOneDecisionOnAVersion},
		}},
	}
}

func activityContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"Activities", []storeCase{
			{"AreOrderedBySequence", activitiesAreOrderedBySequence},
			{"ArePagedBySequence", activitiesArePagedBySequence},
			{"ReturnTheVersion", activitiesReturnTheVersion},
			{"ReturnsErrNotFound", refusesUnknown("Activities", activities)},
		}},
		{"Activity", []storeCase{
			{"IsThatOfTheList", activityIsThatOfTheList},
			{"ReturnsErrNotFound", refusesUnknown("Activity", oneActivity)},
			{"ReturnsErrNotFoundForTheSequence", activityReturnsErrNotFoundForTheSequence},
		}},
		{"ReviseActivity", []storeCase{
			{"StoresTheRevision", reviseStoresTheRevision},
			{"LeavesTheRest", reviseLeavesTheRest},
			{"ChecksTheRevision", reviseChecksTheRevision},
			{"LetsOneOfARevisionWin", reviseLetsOneOfARevisionWin},
			{"ReturnsErrNotFound", refusesUnknown("ReviseActivity", reviseActivity)},
			{"ReturnsErrNotFoundForTheSequence", reviseReturnsErrNotFoundForTheSequence},
		}},
	}
}

func userContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"MarkSeen", []storeCase{
			{"NeverGoesBack", markSeenNeverGoesBack},
			{"NeverGoesBackUnderConcurrency", markSeenNeverGoesBackUnderConcurrency},
			{"IsAboutOneIncident", markSeenIsAboutOneIncident},
			{"ReturnsErrNotFound", refusesUnknown("MarkSeen", markSeen)},
		}},
		{"SeenBy", []storeCase{
			{"IsOrderedByTimeThenUser", seenByIsOrderedByTimeThenUser},
			{"ReturnsErrNotFound", refusesUnknown("SeenBy", seenBy)},
		}},
		{"Subscribe", []storeCase{
			{"KeepsTheFirstDate", subscribeKeepsTheFirstDate},
			{"HasOneFirst", subscribeHasOneFirst},
			{"MeetsUnsubscribe", subscribeAndUnsubscribeMeet},
			{"ReturnsErrNotFound", refusesUnknown("Subscribe", subscribe)},
		}},
		{"Unsubscribe", []storeCase{
			{"EndsIt", unsubscribeEndsIt},
			{"ReturnsErrNotFound", refusesUnknown("Unsubscribe", unsubscribe)},
		}},
		{"Subscribers", []storeCase{
			{"AreOrderedByUser", subscribersAreOrderedByUser},
			{"AreThoseOfTheIncident", subscribersAreThoseOfTheIncident},
			{"ReturnsErrNotFound", refusesUnknown("Subscribers", subscribers)},
		}},
	}
}

func valueContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"RoundTrip", []storeCase{
			{"KeepsEveryField", roundTripKeepsEveryField},
			{"KeepsEveryFieldOfAChange", roundTripKeepsEveryFieldOfAChange},
			{"KeepsActivities", roundTripKeepsActivities},
			{"KeepsTimes", roundTripKeepsTimes},
			{"KeepsTheLongest", roundTripKeepsTheLongest},
			{"KeepsTheMostTriggers", roundTripKeepsTheMostTriggers},
			{"KeepsLabels", roundTripKeepsLabels},
			{"KeepsLabelsOfAChange", roundTripKeepsLabelsOfAChange},
			{"KeepsTheLongestLabels", roundTripKeepsTheLongestLabels},
			{"KeepsLabelsUnderConcurrency", roundTripKeepsLabelsUnderConcurrency},
			{"KeepsResponses", roundTripKeepsResponses},
			{"KeepsResponsesOfAChange", roundTripKeepsResponsesOfAChange},
			{"KeepsDuplicates", roundTripKeepsDuplicates},
			{"KeepsActivitiesOfOperations", roundTripKeepsActivitiesOfOperations},
		}},
		{"Names", []storeCase{
			{"OfOrganizationsAreBytes", namesOfOrganizationsAreBytes},
			{"OfUsersAreBytes", namesOfUsersAreBytes},
			{"WithinAnIncidentAreBytes", namesWithinAnIncidentAreBytes},
			{"OfRulesAndQueriesAreBytes", namesOfRulesAndQueriesAreBytes},
			{"OfAssigneesAreBytes", namesOfAssigneesAreBytes},
		}},
		{"Isolation", []storeCase{
			{"OfReads", isolationOfReads},
			{"OfWrites", isolationOfWrites},
			{"OfEqualHistories", isolationOfEqualHistories},
			{"OfHolders", isolationOfHolders},
			{"OfOperations", isolationOfOperations},
		}},
		{"Memory", []storeCase{
			{"OfReadsIsTheCallers", memoryOfReadsIsTheCallers},
			{"OfResultsIsTheCallers", memoryOfResultsIsTheCallers},
			{"OfArgumentsIsTheCallers", memoryOfArgumentsIsTheCallers},
			{"OfQueriesIsLeftAlone", memoryOfQueriesIsLeftAlone},
			{"OfLastHoldersIsTheCallers", memoryOfLastHoldersIsTheCallers},
			{"OfLabelsIsTheCallers", memoryOfLabelsIsTheCallers},
			{"OfWrittenLabelsIsTheCallers", memoryOfWrittenLabelsIsTheCallers},
			{"OfLabelQueriesIsLeftAlone", memoryOfLabelQueriesIsLeftAlone},
		}},
	}
}

func txContract() []group[incident.Store] {
	return []group[incident.Store]{
		{"Context", []storeCase{
			{"CancelledBefore", contextCancelledBefore},
			{"ExpiredBefore", contextExpiredBefore},
			{"CancelledWithinTx", contextCancelledWithinTx},
			{"BeforeOtherErrors", contextBeforeOtherErrors},
			{"EndsDuringAWrite", contextEndsDuringAWrite},
		}},
		{"InTx", []storeCase{
			{"Commits", inTxCommits},
			{"UndoesOnError", inTxUndoesOnError},
			{"UndoesOnPanic", inTxUndoesOnPanic},
			{"UndoesWhenTheContextEnds", inTxUndoesWhenTheContextEnds},
			{"UndoesOperations", inTxUndoesOperations},
			{"ChecksWhatApplyChecks", inTxChecksWhatApplyChecks},
			{"Nests", inTxNests},
			{"IsDoomedByItsParts", inTxIsDoomedByItsParts},
			{"Ends", inTxEnds},
			{"MayWriteNothing", inTxMayWriteNothing},
			{"IsInvisibleBeforeTheCommit", inTxIsInvisibleBeforeTheCommit},
			{"OutlastsWritersWhoGiveUp", inTxOutlastsWritersWhoGiveUp},
			{"AppearsAtOnce", inTxAppearsAtOnce},
			{"LosesNoUpdate", inTxLosesNoUpdate},
			{"KeepsLoadedStates", inTxKeepsLoadedStates},
		}},
		{"Store", []storeCase{
			{"IsSafeForConcurrentUse", storeIsSafeForConcurrentUse},
			{"SharedIsConstant", sharedIsConstant},
		}},
	}
}
