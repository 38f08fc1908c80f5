package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// userDates is a list of users with a date each, ordered by UserID. An incident has few
// of them.
type userDates []userDate

type userDate struct {
	user incident.UserID
	date time.Time
}

func (u userDates) find(user incident.UserID) (int, bool) {
	return slices.BinarySearchFunc(u, user, func(e userDate, user incident.UserID) int {
		return cmp.Compare(e.user, user)
	})
}

// The undo functions below use an index: they run in reverse order of the writes, so each
// finds the list as its write left it.
func (s *Store) insertUser(u *userDates, i int, entry userDate) {
	*u = slices.Insert(*u, i, entry)
	if s.inTx() {
		s.undo(func() { *u = slices.Delete(*u, i, i+1) })
	}
}

func (s *Store) deleteUser(u *userDates, i int) {
	entry := (*u)[i]
	*u = slices.Delete(*u, i, i+1)
	if s.inTx() {
		s.undo(func() { *u = slices.Insert(*u, i, entry) })
	}
}

func (s *Store) redateUser(u *userDates, i int, date time.Time) {
	before := (*u)[i].date
	(*u)[i].date = date
	if s.inTx() {
		s.undo(func() { (*u)[i].date = before })
	}
}
