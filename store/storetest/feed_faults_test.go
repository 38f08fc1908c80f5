package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/incidentkit/incident"
)

// answerFaults have all changes and answer wrongly.
func answerFaults() []feedFault {
	return []feedFault{
		{"BeginsWithEverything", beginsWithEverything, []string{"BeginsNow"}},
		{"BeginsAtTheBeginning", beginsAtTheBeginning, []string{"BeginsNow"}},
		{"BeginsAtTheSecondCall", beginsAtTheSecondCall, []string{"BeginsNow", "ReportsEachChange"}},
		{"NoPosition", answeringChanges(noPosition), []string{"BeginsNow"}},
		{"PositionStays", positionStays, []string{"StopsRepeating"}},
		{"PositionOfALaterMoment", positionOfALaterMoment, []string{"ReportsAllUnderConcurrency"}},
		{"PositionsAreUsedUp", positionsAreUsedUp, []string{"PositionsStayGood"}},
		{"ForgetsReported", forgetsReported, []string{"PositionsStayGood", "FollowersAreIndependent"}},
		{"KnowsOneFollower", knowsOneFollower, []string{"PositionsStayGood", "FollowersAreIndependent"}},
		{"KnowsTheLastFollower", knowsTheLastFollower, []string{"FollowersAreIndependent"}},
		{"CreationsNotReported", answeringChanges(creationsNotReported), []string{
			"BeginsNow", "ReportsEachChange", "ReportsManyAtOnce", "ReportsLateCommits", "ReportsAllUnderConcurrency",
		}},
		{"SlotsNotReported", answeringChanges(slotsNotReported), []string{
			"ReportsEachChange", "ReportsManyAtOnce", "ReportsLateCommits", "ReportsAllUnderConcurrency",
		}},
		{"ReleasesNotReported", answeringChanges(releasesNotReported), []string{"ReportsEachChange", "ReportsAllUnderConcurrency"}},
		{"VersionBefore", answeringChanges(versionBefore), []string{
			"BeginsNow", "ReportsEachChange", "ReportsLateCommits", "ReportsAllUnderConcurrency",
		}},
		{"ActivityBefore", answeringChanges(activityBefore), []string{"BeginsNow", "ReportsEachChange", "ReportsComments", "ReportsLateCommits"}},
		{"OneOrganization", answeringChanges(oneOrganization), []string{"ReportsEachChange", "ReportsNames", "ReportsAllUnderConcurrency"}},
		{"FirstTenOnly", answeringChanges(firstTenOnly), []string{"ReportsManyAtOnce"}},
		{"PagesOfTen", pagesOfTen, []string{"ReportsManyAtOnce"}},
		{"NamesAreJoined", answeringChanges(namesAreJoined), []string{"ReportsNames"}},
		{"NoQueryIsNoSlot", answeringChanges(noQueryIsNoSlot), []string{"ReportsNames"}},
		{"ForeignPositionsAreErrors", foreignPositionsAreErrors, []string{"ResetsForeignPositions"}},
		{"ForeignPositionsAreZero", answeringChanges(neverResets), []string{"ResetsForeignPositions"}},
		{"ResetsWithoutPosition", answeringChanges(resetsWithoutPosition), []string{"ResetsForeignPositions"}},
		{"AlwaysResets", alwaysResets, []string{"BeginsNow", "ReportsEachChange", "StopsRepeating", "PositionsStayGood"}},
		{"IgnoresTheContext", ignoresTheContext, []string{"ObeysTheContext"}},
		{"IgnoresTheContextLater", ignoresTheContextLater, []string{"ObeysTheContext"}},
		{"LosesTheContextError", losesTheContextError, []string{"ObeysTheContext"}},
	}
}

// brokenFeed is a feed with Changes replaced.
type brokenFeed struct {
	incident.FeedStore
	changes func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error)
}

func (b *brokenFeed) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	return b.changes(ctx, since)
}

func answeringChanges(alter func(c *incident.FeedChanges)) func(j *journal) incident.FeedStore {
	return func(j *journal) incident.FeedStore {
		return &brokenFeed{j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
			c, err := j.Changes(ctx, since)
			if err == nil {
				alter(&c)
			}
			return c, err
		}}
	}
}

// askingChanges replaces Changes. Calls are serialized.
func askingChanges(j *journal, changes func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error)) incident.FeedStore {
	var mu sync.Mutex // guards what changes remembers
	return &brokenFeed{j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		mu.Lock()
		defer mu.Unlock()
		return changes(ctx, since)
	}}
}

func beginsWithEverything(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		return j.Changes(ctx, cmp.Or(since, afterCommits(0)))
	})
}

func beginsAtTheBeginning(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		if since == "" {
			return incident.FeedChanges{Position: afterCommits(0)}, ctx.Err()
		}
		return j.Changes(ctx, since)
	})
}

func beginsAtTheSecondCall(j *journal) incident.FeedStore {
	const begin incident.FeedPosition = "begin"
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		switch since {
		case "":
			return incident.FeedChanges{Position: begin}, ctx.Err()
		case begin:
			since = ""
		}
		return j.Changes(ctx, since)
	})
}

func noPosition(c *incident.FeedChanges) { c.Position = "" }

func positionStays(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		c, err := j.Changes(ctx, since)
		c.Position = cmp.Or(since, c.Position)
		return c, err
	})
}

// positionOfALaterMoment reads the position in a call after the changes.
func positionOfALaterMoment(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		c, err := j.Changes(ctx, since)
		if err != nil {
			return c, err
		}
		pause()
		later, err := j.Changes(ctx, "")
		c.Position = later.Position
		return c, err
	})
}

// positionsAreUsedUp takes a used position for the empty one.
func positionsAreUsedUp(j *journal) incident.FeedStore {
	const call = " by call "
	calls, used := 0, map[incident.FeedPosition]bool{}
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		position, _, _ := strings.Cut(string(since), call)
		if used[since] {
			position = ""
		}
		c, err := j.Changes(ctx, incident.FeedPosition(position))
		if err == nil {
			calls++
			used[since] = true
			c.Position += incident.FeedPosition(call + strconv.Itoa(calls))
		}
		return c, err
	})
}

// forgetsReported drops a change after its first report.
func forgetsReported(j *journal) incident.FeedStore {
	told := 0
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		from, err := commitsBefore(ctx, since)
		if err != nil || since == "" {
			return j.Changes(ctx, since)
		}
		c, err := j.Changes(ctx, afterCommits(max(from, told)))
		if err == nil {
			told, err = commitsBefore(ctx, c.Position)
		}
		return c, err
	})
}

// knowsOneFollower keeps the position of the last call.
func knowsOneFollower(j *journal) incident.FeedStore {
	var position incident.FeedPosition
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		if since != "" {
			since = position
		}
		c, err := j.Changes(ctx, since)
		if err == nil {
			position = c.Position
		}
		return c, err
	})
}

// knowsTheLastFollower keeps the commits since the last follower began.
func knowsTheLastFollower(j *journal) incident.FeedStore {
	kept := 0
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		from, err := commitsBefore(ctx, since)
		if err == nil && since != "" {
			return j.Changes(ctx, afterCommits(max(from, kept)))
		}
		c, err := j.Changes(ctx, since)
		if err == nil {
			kept, err = commitsBefore(ctx, c.Position)
		}
		return c, err
	})
}

func creationsNotReported(c *incident.FeedChanges) {
	c.Incidents = slices.DeleteFunc(c.Incidents, func(v incident.IncidentVersion) bool { return v.Version == 1 })
}

func slotsNotReported(c *incident.FeedChanges) { c.Slots = nil }

// releasesNotReported leaves out even versions.
func releasesNotReported(c *incident.FeedChanges) {
	c.Slots = slices.DeleteFunc(c.Slots, func(v incident.SlotVersion) bool { return v.Version%2 == 0 })
}

func versionBefore(c *incident.FeedChanges) {
	for i := range c.Incidents {
		c.Incidents[i].Version--
	}
}

func activityBefore(c *incident.FeedChanges) {
	for i := range c.Incidents {
		c.Incidents[i].Activities--
	}
}

func oneOrganization(c *incident.FeedChanges) {
	c.Incidents = slices.DeleteFunc(c.Incidents, func(v incident.IncidentVersion) bool { return v.Key.OrganizationID != acme })
	c.Slots = slices.DeleteFunc(c.Slots, func(v incident.SlotVersion) bool { return v.Slot.OrganizationID != acme })
}

func firstTenOnly(c *incident.FeedChanges) {
	c.Incidents = c.Incidents[:min(len(c.Incidents), 10)]
	c.Slots = c.Slots[:min(len(c.Slots), 10)]
}

// pagesOfTen returns at most ten commits.
func pagesOfTen(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		from, err := commitsBefore(ctx, since)
		if err != nil || since == "" {
			return j.Changes(ctx, since)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		to := min(from+10, len(j.commits))
		c := incident.FeedChanges{Position: afterCommits(to)}
		report(&c, j.commits[from:to])
		return c, nil
	})
}

func namesAreJoined(c *incident.FeedChanges) {
	for i, v := range c.Slots {
		s := v.Slot
		joined := fmt.Sprintf("%s/%s/%s/%s", s.OrganizationID, s.AlertRuleID, s.ProjectID, s.QueryID)
		parts := strings.Split(joined, "/")
		c.Slots[i].Slot = incident.Slot{
			OrganizationID: incident.OrganizationID(parts[0]), AlertRuleID: incident.AlertRuleID(parts[1]),
			ProjectID: incident.ProjectID(parts[2]), QueryID: incident.QueryID(parts[3]),
		}
	}
}

func noQueryIsNoSlot(c *incident.FeedChanges) {
	c.Slots = slices.DeleteFunc(c.Slots, func(v incident.SlotVersion) bool { return v.Slot.QueryID == "" })
}

func foreignPositionsAreErrors(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		if _, err := commitsBefore(ctx, since); err != nil {
			return incident.FeedChanges{}, err
		}
		return j.Changes(ctx, since)
	})
}

func neverResets(c *incident.FeedChanges) { c.Reset = false }

func resetsWithoutPosition(c *incident.FeedChanges) {
	if c.Reset {
		c.Position = ""
	}
}

func alwaysResets(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		c, err := j.Changes(ctx, since)
		c.Reset = since != ""
		return c, err
	})
}

func ignoresTheContext(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		return j.Changes(context.WithoutCancel(ctx), since)
	})
}

// ignoresTheContextLater checks the context for the empty position only.
func ignoresTheContextLater(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		if since != "" {
			ctx = context.WithoutCancel(ctx)
		}
		return j.Changes(ctx, since)
	})
}

func losesTheContextError(j *journal) incident.FeedStore {
	return askingChanges(j, func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
		c, err := j.Changes(ctx, since)
		if err != nil {
			err = incident.ErrUnavailable
		}
		return c, err
	})
}
