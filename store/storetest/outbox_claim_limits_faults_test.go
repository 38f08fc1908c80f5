package storetest

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

func claimLimitFaults() []outboxFault {
	behind := []string{"Claim/ContinuesAfterAnOrganization"}
	longest := []string{"Claim/BeginsWithTheLongestDue"}
	return []outboxFault{
		{"LimitIsIgnored", asking(func(q *incident.ClaimQuery) { q.Limit = everything }), []string{
			"Claim/IsLimited", "Claim/IsLimitedPerOrganization",
		}},
		{"PerOrganizationIsIgnored", asking(func(q *incident.ClaimQuery) { q.PerOrganization = q.Limit }), []string{
			"Claim/IsLimitedPerOrganization", "Claim/LeavesOrganizationsOut",
		}},
		{"PerOrganizationIsForAll", asking(func(q *incident.ClaimQuery) { q.Limit = min(q.Limit, q.PerOrganization) }), []string{
			"Claim/IsLimitedPerOrganization", "Claim/ContinuesAfterAnOrganization",
		}},
		{"LimitOfEachOrganization", asking(func(q *incident.ClaimQuery) { q.PerOrganization = min(q.PerOrganization, 1) }), []string{
			"Claim/IsLimited", "Claim/IsLimitedPerOrganization",
		}},
		{"AfterIsIgnored", asking(func(q *incident.ClaimQuery) { q.After = "" }), behind},
		{"AfterIsIncluded", afterIsIncluded, behind},
		{"AfterIsFoundOrNothing", afterIsFoundOrNothing, behind},
		{"BeginsAnewAtTheEnd", beginsAnewAtTheEnd, behind},
		{"OrganizationsAreFolded", choosing(func(a, b incident.Claim) int {
			return compareFolded(a.Key.OrganizationID, b.Key.OrganizationID)
		}), behind},
		{"OrganizationsBackwards", choosing(func(a, b incident.Claim) int {
			return cmp.Compare(b.Key.OrganizationID, a.Key.OrganizationID)
		}), []string{"Claim/ContinuesAfterAnOrganization", "Claim/IsLimitedPerOrganization"}},
		{"ExceptIsIgnored", asking(func(q *incident.ClaimQuery) { q.Except = nil }), []string{"Claim/LeavesOrganizationsOut"}},
		{"ExceptIsTheEnd", exceptIsTheEnd, []string{"Claim/LeavesOrganizationsOut"}},
		{"LeaseOverflows", asking(func(q *incident.ClaimQuery) {
			if q.Lease > math.MaxInt64-time.Hour {
				q.Lease = -1
			}
		}), []string{"Claim/MayLastForever"}},
		{"DelayOverflows", ending(func(end *incident.Settlement) {
			if end.After > math.MaxInt64-time.Hour {
				end.After = 0
			}
		}), []string{"Settle/RetryMayWaitForever"}},
		{"OnlyTheFirstIsLeftOut", asking(func(q *incident.ClaimQuery) { q.Except = q.Except[:min(len(q.Except), 1)] }), []string{
			"Claim/LeavesOrganizationsOut",
		}},
		{"AllowancesAreIgnored", asking(func(q *incident.ClaimQuery) { q.Allowances = nil }), []string{"Claim/KeepsAllowances"}},
		{"AllowancesOnlyLimit", asking(func(q *incident.ClaimQuery) {
			q.Allowances = maps.Clone(q.Allowances)
			for org, n := range q.Allowances {
				q.Allowances[org] = min(n, q.PerOrganization)
			}
		}), []string{"Claim/KeepsAllowances"}},
		{"AnAllowanceIsAnException", asking(func(q *incident.ClaimQuery) {
			q.Except = slices.DeleteFunc(slices.Clone(q.Except), func(org incident.OrganizationID) bool { return q.Allowances[org] > 0 })
		}), []string{"Claim/KeepsAllowances"}},
		{"TheOldestIncidentFirst", choosing(func(a, b incident.Claim) int {
			return cmp.Or(cmp.Compare(a.Key.OrganizationID, b.Key.OrganizationID), cmp.Compare(a.Key.Identifier, b.Key.Identifier))
		}), longest},
		{"TheOldestActivityFirst", choosing(func(a, b incident.Claim) int {
			return cmp.Or(cmp.Compare(a.Key.OrganizationID, b.Key.OrganizationID), cmp.Compare(a.Sequence, b.Sequence))
		}), longest},
		{"TheNewestFirst", choosing(func(a, b incident.Claim) int {
			return cmp.Or(cmp.Compare(a.Key.OrganizationID, b.Key.OrganizationID), cmp.Compare(b.Key.Identifier, a.Key.Identifier))
		}), longest},
	}
}

func compareFolded(a, b incident.OrganizationID) int {
	return cmp.Compare(strings.ToLower(string(a)), strings.ToLower(string(b)))
}

// choosing claims in another order. The order is stable.
func choosing(order func(a, b incident.Claim) int) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			all := q
			all.Limit, all.PerOrganization = everything, everything
			found, err := s.Claim(ctx, all)
			slices.SortStableFunc(found, order)
			var chosen []incident.Claim
			of := map[incident.OrganizationID]int{}
			for _, c := range found {
				if of[c.Key.OrganizationID] < q.PerOrganization && len(chosen) < q.Limit {
					of[c.Key.OrganizationID]++
					chosen = append(chosen, c)
				} else if _, err := s.Settle(ctx, []incident.Settlement{release(c)}); err != nil {
					return nil, err
				}
			}
			return chosen, err
		}}
	}
}

// claimMore adds the claims of another query.
func claimMore(ctx context.Context, s incident.OutboxStore, q, more incident.ClaimQuery) ([]incident.Claim, error) {
	claims, err := s.Claim(ctx, q)
	if more.Limit = q.Limit - len(claims); err != nil || more.Limit == 0 {
		return claims, err
	}
	rest, err := s.Claim(ctx, more)
	return append(claims, rest...), err
}

func afterIsIncluded(s incident.OutboxStore) incident.OutboxStore {
	return asking(func(q *incident.ClaimQuery) {
		if n := len(q.After); n > 0 { // the last place before it, or almost
			q.After = q.After[:n-1] + incident.OrganizationID([]byte{q.After[n-1] - 1, 0xff})
		}
	})(s)
}

// afterIsFoundOrNothing requires that After has a due queue.
func afterIsFoundOrNothing(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		_, err := s.Load(ctx, incident.Key{OrganizationID: q.After, Identifier: 1})
		if q.After != "" && err != nil {
			return nil, ctx.Err()
		}
		return s.Claim(ctx, q)
	}}
}

func beginsAnewAtTheEnd(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		if q.After == "" {
			return s.Claim(ctx, q)
		}
		anew := q
		anew.After = ""
		return claimMore(ctx, s, q, anew)
	}}
}

// exceptIsTheEnd stops at an excluded organization.
func exceptIsTheEnd(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		return slices.DeleteFunc(claims, func(c incident.Claim) bool {
			return len(q.Except) > 0 && c.Key.OrganizationID > slices.Min(q.Except)
		}), err
	}}
}
