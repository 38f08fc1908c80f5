package storetest

import (
	"slices"
	"testing"

	"github.com/incidentkit/incident"
)

// RunRetention checks the contract of [incident.RetentionStore]. See [Run]. If the store is also
// an [incident.OutboxStore] or an [incident.FeedStore], the cases about notifications and about
// the feed run too; otherwise they pass.
func RunRetention(t *testing.T, newStore func(t *testing.T) incident.RetentionStore) {
	t.Helper()
	runGroups(t, retentionContract(), newStore)
}

type retentionCase = testCase[incident.RetentionStore]

// retentionContract lists the promises of a store that can delete, as contract does those of a
// store.
func retentionContract() []group[incident.RetentionStore] {
	return slices.Concat(purgeContract(), eraseContract(), deleteOrganizationContract(), taskContract())
}

func purgeContract() []group[incident.RetentionStore] {
	return []group[incident.RetentionStore]{
		{"Purge", []retentionCase{
			{"DeletesAllOfAnIncident", purgeDeletesAllOfAnIncident},
			{"LeavesOthersAlone", purgeLeavesOthersAlone},
			{"RefusesWrites", purgeRefusesWrites},
			{"VisitsClosedIncidents", purgeVisitsClosedIncidents},
			{"IsInOrder", purgeIsInOrder},
			{"IsLimited", purgeIsLimited},
			{"ContinuesAfterAPosition", purgeContinuesAfterAPosition},
			{"OfNothing", purgeOfNothing},
			{"ReturnsGreaterVersions", purgeReturnsGreaterVersions},
			{"UsesUpIdentifiers", purgeUsesUpIdentifiers},
			{"ForgetsUUIDs", purgeForgetsUUIDs},
			{"KeepsSlots", purgeKeepsSlots},
			{"ForgetsTheLastOfSeveral", purgeForgetsTheLastOfSeveral},
			{"KeepsDuplicates", purgeKeepsDuplicates},
			{"IsolatesOrganizations", purgeIsolatesOrganizations},
			{"ObeysTheContext", purgeObeysTheContext},
			{"CompletesAfterFailures", purgeCompletesAfterFailures},
			{"LeavesTheQueryAlone", purgeLeavesTheQueryAlone},
			{"DeletesOnce", purgeDeletesOnce},
			{"ExcludesWriters", purgeExcludesWriters},
			{"SparesTheReopened", purgeSparesTheReopened},
		}},
		{"PurgeOutbox", []retentionCase{
			{"HoldsBackTheUndelivered", withOutbox(purgeHoldsBackTheUndelivered)},
			{"PassesTheHeldBack", withOutbox(purgePassesTheHeldBack)},
			{"DeletesParked", withOutbox(purgeDeletesParked)},
			{"LosesNoReplay", withOutbox(purgeLosesNoReplay)},
			{"LosesNoReminder", withOutbox(purgeLosesNoReminder)},
			{"LosesNoNotification", withOutbox(purgeLosesNoNotification)},
		}},
		{"PurgeFeed", []retentionCase{
			{"ReportsTheDeleted", withFeed(purgeReportsTheDeleted)},
			{"ReportsAllUnderConcurrency", withFeed(purgeReportsAllUnderConcurrency)},
		}},
	}
}

func eraseContract() []group[incident.RetentionStore] {
	return []group[incident.RetentionStore]{
		{"EraseUser", []retentionCase{
			{"ReplacesTheUser", eraseReplacesTheUser},
			{"LeavesNobody", eraseLeavesNobody},
			{"MergesViews", eraseMergesViews},
			{"MergesSubscriptions", eraseMergesSubscriptions},
			{"MovesAssignments", eraseMovesAssignments},
			{"LeavesTheRest", eraseLeavesTheRest},
			{"ComparesUsersByteForByte", eraseComparesUsersByteForByte},
			{"ReturnsTheChanged", eraseReturnsTheChanged},
			{"IsInOrder", eraseIsInOrder},
			{"PassesGaps", erasePassesGaps},
			{"CanBeRepeated", eraseCanBeRepeated},
			{"RaisesVersions", eraseRaisesVersions},
			{"IsolatesOrganizations", eraseIsolatesOrganizations},
			{"ObeysTheContext", eraseObeysTheContext},
			{"CompletesAfterFailures", eraseCompletesAfterFailures},
			{"LosesNoWrite", eraseLosesNoWrite},
		}},
		{"EraseUserOutbox", []retentionCase{
			{"EmptiesErrors", withOutbox(eraseEmptiesErrors)},
			{"ReturnsNoErrors", withOutbox(eraseReturnsNoErrors)},
			{"ChangesClaims", withOutbox(eraseChangesClaims)},
		}},
		{"EraseUserFeed", []retentionCase{
			{"ReportsTheChanged", withFeed(eraseReportsTheChanged)},
		}},
	}
}

func deleteOrganizationContract() []group[incident.RetentionStore] {
	return []group[incident.RetentionStore]{
		{"DeleteOrganization", []retentionCase{
			{"DeletesAll", deleteOrganizationDeletesAll},
			{"IsLimited", deleteOrganizationIsLimited},
			{"UsesUpIdentifiers", deleteOrganizationUsesUpIdentifiers},
			{"ForgetsUUIDs", deleteOrganizationForgetsUUIDs},
			{"FreesSlots", deleteOrganizationFreesSlots},
			{"OfManySlots", deleteOrganizationOfManySlots},
			{"ReturnsGreaterVersions", deleteOrganizationReturnsGreaterVersions},
			{"OfNothing", deleteOrganizationOfNothing},
			{"IsolatesOrganizations", deleteOrganizationIsolatesOrganizations},
			{"ObeysTheContext", deleteOrganizationObeysTheContext},
			{"CompletesAfterFailures", deleteOrganizationCompletesAfterFailures},
			{"ExcludesWriters", deleteOrganizationExcludesWriters},
		}},
		{"DeleteOrganizationOutbox", []retentionCase{
			{"DeletesNotifications", withOutbox(deleteOrganizationDeletesNotifications)},
			{"EndsClaims", withOutbox(deleteOrganizationEndsClaims)},
		}},
		{"DeleteOrganizationFeed", []retentionCase{
			{"ReportsTheDeleted", withFeed(deleteOrganizationReportsTheDeleted)},
			{"ResetsOldPositions", withFeed(deleteOrganizationResetsOldPositions)},
			{"OfNothingResetsNothing", withFeed(deleteOrganizationOfNothingResetsNothing)},
		}},
	}
}

func taskContract() []group[incident.RetentionStore] {
	return []group[incident.RetentionStore]{
		{"Organizations", []retentionCase{
			{"AreInOrder", organizationsAreInOrder},
			{"AreLimited", organizationsAreLimited},
			{"HaveIncidents", organizationsHaveIncidents},
			{"FollowTransactions", organizationsFollowTransactions},
			{"ObeyTheContext", organizationsObeyTheContext},
		}},
		{"Lease", []retentionCase{
			{"ExcludesOthers", leaseExcludesOthers},
			{"Ends", leaseEnds},
			{"IsProlonged", leaseIsProlonged},
			{"IsShortened", leaseIsShortened},
			{"IsOfATask", leaseIsOfATask},
			{"ComparesNames", leaseComparesNames},
			{"GoesToOneOfMany", leaseGoesToOneOfMany},
			{"TellsTheTime", leaseTellsTheTime},
			{"ObeysTheContext", leaseObeysTheContext},
		}},
	}
}

// retentionOutbox is a store that can delete and notify.
type retentionOutbox interface {
	incident.RetentionStore
	incident.OutboxStore
}

// retentionFeed is a store that can delete and that has a feed.
type retentionFeed interface {
	incident.RetentionStore
	incident.FeedStore
}

// withOutbox makes a case that passes for a store without an outbox.
func withOutbox(run func(t *trial, s retentionOutbox)) func(*trial, incident.RetentionStore) {
	return func(t *trial, s incident.RetentionStore) {
		if both, ok := s.(retentionOutbox); ok {
			run(t, both)
		}
	}
}

// withFeed makes a case that passes for a store without a feed.
func withFeed(run func(t *trial, s retentionFeed)) func(*trial, incident.RetentionStore) {
	return func(t *trial, s incident.RetentionStore) {
		if both, ok := s.(retentionFeed); ok {
			run(t, both)
		}
	}
}
