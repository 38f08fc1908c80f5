package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// runBatch writes the members of a lane in the background, because each waits with a context of
// its own.
func (s *Store) runBatch(ln *lane) {
	start := time.Now()
	left, err := s.writeBatch(ln.lanes, ln.members)
	if err == nil {
		ln.lanes.took(time.Since(start))
	}
	isLeft := make(map[*member]bool, len(left))
	for _, m := range left {
		isLeft[m] = true
	}
	s.end(ln, left)
	for _, m := range ln.members {
		if isLeft[m] {
			continue
		}
		if err != nil {
			m.err = err
		}
		m.woken <- struct{}{}
	}
}

// writeBatch writes the members: usual creations in a single statement, others of one
// organization in a transaction, and those of a server of Citus in a call. It returns the members
// that must wait for a lane of their organization, because that was locked, for example. An error
// concerns every member; otherwise each member has its own result.
func (s *Store) writeBatch(l *lanes, members []*member) (left []*member, err error) {
	isSingle := isOfOne(members)
	switch {
	case l != &s.lanes && mayShareCall(l, members):
		return s.writeOnCitus(l, members)
	case l == &s.lanes && members[0].layout.suitsBatch() && !l.apartOnly.Load():
	case isSingle:
		return nil, s.writeGroup(l, members)
	default:
		return nil, errAlone
	}
	members = sortedByOrg(members)
	ctx, cancel := l.bounded(members[0])
	defer cancel()
	c := newCall("apply")
	identifiers, err := queryCounted(ctx, s, c, s.batchStatement(members, isSingle, c), func(rows rowSet) ([]int64, error) {
		return readBatch(rows, len(members))
	})
	if sqlState(err) == featureNotSupported && !isReadOnly(err) {
		l.apartOnly.Store(true)
	}
	switch {
	case err != nil && c.lost():
		distrust(members)
		return nil, err
	case err != nil:
		return nil, errAlone
	}
	for i, m := range members {
		switch {
		case identifiers[i] != 0:
			m.applied = m.w.applied(written{identifier: identifiers[i], last: int64(len(m.w.Activities))})
			continue
		case c.lost(): // an attempt without an answer may have written it
			m.call.distrust()
		}
		left = append(left, m)
	}
	if isSingle && left != nil {
		return nil, errAlone
	}
	return left, nil
}

// sortedByOrg returns the members in order of organization. It copies them, because retire reads the
// members of a lane.
func sortedByOrg(members []*member) []*member {
	members = slices.Clone(members)
	slices.SortStableFunc(members, func(a, b *member) int { return cmp.Compare(a.org(), b.org()) })
	return members
}

// distrust records that the creations may have been written.
func distrust(members []*member) {
	for _, m := range members {
		m.call.distrust()
	}
}

// readBatch returns the identifiers of the members, 0 for a member that is not written.
func readBatch(rows rowSet, n int) ([]int64, error) {
	identifiers := make([]int64, n)
	var number, identifier int64
	err := scanEach(rows, func() { identifiers[number-1] = identifier }, integer(&number), integer(&identifier))
	return identifiers, err
}

// bounded returns the context of a step of a batch, with the values of a member. A batch has locked its
// organizations, for other processes too.
func (l *lanes) bounded(m *member) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(m.ctx), l.wait(minWait, maxWait))
}

// writeGroup applies creations of one organization in a transaction, so that they share a commit.
func (s *Store) writeGroup(l *lanes, members []*member) error {
	beginning, cancel := l.bounded(members[0])
	defer cancel()
	tx, err := s.begin(beginning)
	if err != nil {
		return errAlone
	}
	tx.grouped = true
	inner := &Store{database: s.database, tx: tx}
	for _, m := range members {
		ctx, cancel := l.bounded(m)
		isWritten := m.writeIn(ctx, inner)
		cancel()
		if !isWritten {
			tx.rollBack()
			return errAlone
		}
	}
	committing, cancel := l.bounded(members[0])
	defer cancel()
	err = tx.commit(committing)
	switch {
	case err == nil:
		return nil
	case isRefusal(err), errors.Is(err, sql.ErrTxDone):
		return errAlone
	}
	distrust(members)
	return err
}

// writeIn applies the creation in the transaction of its group. It returns false if the group must be
// rolled back: also if the bounded context has ended, which says nothing to the caller of the creation.
func (m *member) writeIn(ctx context.Context, inner *Store) bool {
	m.applied, m.err = inner.applyAlone(ctx, m.w.Change, m.call.inTransaction())
	return inner.tx.failure == nil && (m.err == nil || ctx.Err() == nil)
}
