package storetest

import (
	"context"
	"errors"

	"github.com/incidentkit/incident"
)

func expectedSlotFaults() []fault {
	version, order, inTx := "Slots/AreExpectedInAVersion", "Slots/AreExpectedAfterOtherChecks", "Slots/AreExpectedInTx"
	return []fault{
		{"ExpectedSlotIgnored", alteringExpected(func(c *incident.Change) { c.ExpectSlot = nil }), []string{
			version, inTx, "Slots/AdmitOneDecisionOnAVersion", "Slots/AreExpectedAfterTheCommit",
		}},
		{"ExpectedZeroIsAny", alteringExpected(func(c *incident.Change) {
			if c.ExpectSlot.Version == 0 {
				c.ExpectSlot = nil
			}
		}), []string{version, inTx}},
		{"ExpectedAtMost", writing(expectedAtMost), []string{version, inTx, "Slots/AreExpectedAfterTheCommit"}},
		{"ExpectedOfCreationsOnly", alteringExpected(func(c *incident.Change) {
			if !isNew(*c) {
				c.ExpectSlot = nil
			}
		}), []string{version}},
		{"ExpectedOfTheFirstClaim", alteringExpected(func(c *incident.Change) { c.ExpectSlot.Slot = c.Claim[0] }), []string{"Slots/AreExpectedAlone"}},
		{"ExpectedOfEachClaim", writing(expectedOfEachClaim), []string{"Slots/AreExpectedAlone"}},
		{"ExpectedZeroNeedsASlot", writing(expectedZeroNeedsASlot), []string{version, "Slots/AreExpectedAlone", "Slots/AreExpectedAfterOtherChecks"}},
		{"ExpectedInAnotherOrganization", writing(expectedInAnotherOrganization), []string{"Slots/AreExpectedAlone"}},
		{"ExpectedBeforeTheReplay", expectedFirst(func(applied incident.Applied, _ error) bool { return applied.Replayed }), []string{order}},
		{"ExpectedBeforeTheHolder", expectedFirst(func(_ incident.Applied, err error) bool { return isTaken(err) }), []string{order}},
		{"ExpectedBeforeTheIncident", expectedFirst(func(_ incident.Applied, err error) bool { return errors.Is(err, incident.ErrNotFound) }), []string{order}},
		{"ExpectedBeforeTheUUID", expectedFirst(func(_ incident.Applied, err error) bool {
			return errors.Is(err, incident.ErrConflict) && !errors.Is(err, incident.ErrVersionConflict) && !isTaken(err)
		}), []string{order}},
		{"ExpectedBeforeTheWrite", writing(expectedBeforeTheWrite), []string{"Slots/AdmitOneDecisionOnAVersion"}},
		{"ExpectedAfterTheWrite", expectedAfterTheWrite, []string{version}},
		{"UnexpectedIsAConflict", writing(unexpectedIsAConflict), []string{version, inTx}},
		{"UnexpectedUsesAnIdentifier", unexpectedUsesAnIdentifier, []string{version}},
		{"UnexpectedEndsTheTx", unexpectedEndsTheTx, []string{inTx}},
		{"ExpectedFromOutsideATx", expectedFromOutsideATx, []string{inTx}},
	}
}

// writing replaces Apply, in transactions too.
func writing(apply func(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error)) func(s incident.Store) incident.Store {
	var plant func(s incident.Store) incident.Store
	plant = func(s incident.Store) incident.Store {
		return &broken{Store: s, inTx: withTx(s, plant).InTx, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			return apply(s, ctx, cloneChange(c))
		}}
	}
	return plant
}

// alteringExpected changes the changes that expect a version of a slot.
func alteringExpected(alter func(c *incident.Change)) func(s incident.Store) incident.Store {
	return writing(func(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
		if c.ExpectSlot != nil {
			alter(&c)
		}
		return s.Apply(ctx, c)
	})
}

// isUnexpected reports whether a slot has another version than the expected version.
func isUnexpected(ctx context.Context, s incident.Store, want *incident.SlotVersion) bool {
	if want == nil {
		return false
	}
	st, err := s.LoadSlot(ctx, want.Slot)
	return err == nil && st.Version != want.Version
}

// expectedAtMost accepts versions above the expected version.
func expectedAtMost(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
	if c.ExpectSlot != nil {
		if st, err := s.LoadSlot(ctx, c.ExpectSlot.Slot); err == nil && st.Version > c.ExpectSlot.Version {
			c.ExpectSlot = nil
		}
	}
	return s.Apply(ctx, c)
}

// expectedOfEachClaim expects the version of all claimed slots.
func expectedOfEachClaim(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
	for _, slot := range c.Claim {
		if c.ExpectSlot != nil && isUnexpected(ctx, s, &incident.SlotVersion{Slot: slot, Version: c.ExpectSlot.Version}) {
			return incident.Applied{}, incident.ErrVersionConflict
		}
	}
	return s.Apply(ctx, c)
}

// expectedZeroNeedsASlot finds no slot that was never claimed.
func expectedZeroNeedsASlot(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
	if c.ExpectSlot != nil && c.ExpectSlot.Version == 0 && !isUnexpected(ctx, s, c.ExpectSlot) {
		c.ExpectSlot.Version = -1
	}
	return s.Apply(ctx, c)
}

// expectedInAnotherOrganization compares the version of another organization's slot too.
func expectedInAnotherOrganization(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
	if c.ExpectSlot != nil {
		other := *c.ExpectSlot
		other.Slot.OrganizationID = theOthers(other.Slot.OrganizationID)[0]
		if st, err := s.LoadSlot(ctx, other.Slot); err == nil && st.Version > 0 && st.Version != other.Version {
			return incident.Applied{}, incident.ErrVersionConflict
		}
	}
	return s.Apply(ctx, c)
}

// expectedFirst checks the expected version before another check, whose outcome is given.
func expectedFirst(other func(applied incident.Applied, err error) bool) func(s incident.Store) incident.Store {
	return writing(func(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
		unexpected := isUnexpected(ctx, s, c.ExpectSlot)
		applied, err := s.Apply(ctx, c)
		if unexpected && other(applied, err) {
			return incident.Applied{}, incident.ErrVersionConflict
		}
		return applied, err
	})
}

// expectedBeforeTheWrite checks the version in a call before the write.
func expectedBeforeTheWrite(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
	if !isUnexpected(ctx, s, c.ExpectSlot) && c.ExpectSlot != nil {
		pause()
		c.ExpectSlot = nil
	}
	return s.Apply(ctx, c)
}

// expectedAfterTheWrite leaves the activities of a change that is refused.
func expectedAfterTheWrite(s incident.Store) incident.Store {
	return writing(func(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if c.ExpectSlot != nil && !isNew(c) && errors.Is(err, incident.ErrVersionConflict) {
			_, _ = s.Apply(ctx, incident.Change{Key: c.Key, Activities: c.Activities, Subscriptions: c.Subscriptions})
		}
		return applied, err
	})(s)
}

func unexpectedIsAConflict(s incident.Store, ctx context.Context, c incident.Change) (incident.Applied, error) {
	applied, err := s.Apply(ctx, c)
	if c.ExpectSlot != nil && errors.Is(err, incident.ErrVersionConflict) {
		err = &incident.ConflictError{Existing: c.Key}
	}
	return applied, err
}

func unexpectedUsesAnIdentifier(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if isNew(c) && errors.Is(err, incident.ErrVersionConflict) {
			_, _ = s.Apply(ctx, creation(draft(c.Key.OrganizationID)))
		}
		return applied, err
	})
}

// unexpectedEndsTheTx undoes a transaction after a version conflict.
func unexpectedEndsTheTx(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var doom error
		return s.InTx(ctx, func(tx incident.Store) error {
			err := fn(applying(tx, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
				applied, err := tx.Apply(ctx, c)
				doom = errors.Join(doom, err)
				return applied, err
			}))
			return errors.Join(err, doom)
		})
	}}
}

// expectedFromOutsideATx compares versions from before the transaction.
func expectedFromOutsideATx(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store {
		before, _ := tx.LoadSlot(context.Background(), slotOf(acme, api))
		return applying(tx, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			if c.ExpectSlot != nil && c.ExpectSlot.Version != before.Version {
				return incident.Applied{}, incident.ErrVersionConflict
			}
			c.ExpectSlot = nil
			return tx.Apply(ctx, c)
		})
	})
}
