package incident

import (
	"context"
	"log/slog"
	"maps"
	"slices"
)

// relays are the relays of a Manager: one for each notifier, in order of name.
type relays struct {
	outbox    OutboxStore // nil if the store is none
	all       []*outboxRelay
	everyType []NotifyTarget // of all; nil if a notifier wants only some types
	backlog   backlogCount
}

// relaySet is a set of the relays of a Manager: bit i stands for the relay with index i.
type relaySet uint64

func newRelays(m *manager) (*relays, error) {
	rs, o := &relays{}, &m.options
	notifiers := maps.Clone(o.Notifiers)
	if o.Notifier != nil {
		if notifiers == nil {
			notifiers = map[string]NamedNotifier{}
		}
		notifiers[""] = NamedNotifier{Notifier: o.Notifier, Notify: o.Notify}
	}
	rs.outbox, _ = storeAs[OutboxStore](m.store)
	switch {
	case len(notifiers) == 0:
		return rs, nil
	case rs.outbox == nil:
		return nil, invalid("Notifier", "needs a store that is an OutboxStore")
	}
	selective := false
	for _, name := range slices.Sorted(maps.Keys(notifiers)) {
		n := notifiers[name]
		r := newOutboxRelay(m, rs.outbox, name, &n)
		rs.all = append(rs.all, r)
		rs.everyType = append(rs.everyType, r.target)
		selective = selective || len(r.target.Types) > 0
	}
	if selective {
		rs.everyType = nil
	}
	return rs, nil
}

// named returns the relay of a notifier, or nil.
func (rs *relays) named(name string) *outboxRelay {
	if i := rs.index(name); i >= 0 {
		return rs.all[i]
	}
	return nil
}

// set returns the set of the relay of a notifier, empty if there is none.
func (rs *relays) set(name string) relaySet {
	if i := rs.index(name); i >= 0 {
		return 1 << i
	}
	return 0
}

func (rs *relays) index(name string) int {
	return slices.IndexFunc(rs.all, func(r *outboxRelay) bool { return r.target.Notifier == name })
}

// targets returns the notifiers for which activities are queued. The caller must not change the
// result.
func (rs *relays) targets(activities []Activity) (targets []NotifyTarget, queued relaySet) {
	if len(activities) == 0 {
		return nil, 0
	}
	if rs.everyType != nil {
		return rs.everyType, 1<<len(rs.all) - 1
	}
	targets = make([]NotifyTarget, 0, len(rs.all))
	for i, r := range rs.all {
		if slices.ContainsFunc(activities, func(a Activity) bool { return r.target.Wants(a.Type) }) {
			targets = append(targets, r.target)
			queued |= 1 << i
		}
	}
	return targets, queued
}

// addStats adds what concerns notifiers.
func (rs *relays) addStats(s *Stats) {
	for _, r := range rs.all {
		stats := r.record.stats()
		if name := r.target.Notifier; name == "" {
			s.Notifications = stats
		} else {
			if s.Notifiers == nil {
				s.Notifiers = map[string]NotificationStats{}
			}
			s.Notifiers[name] = stats
		}
	}
	s.Abandoned = rs.backlog.abandoned()
}

// relayLogger logs for a relay. It adds the name of the notifier, if it is not empty. If the handler
// of the host panics, Run ends, as it does for other panics of the host: the goroutines of a relay
// would end the process.
type relayLogger struct {
	*core
	notifier string
}

func (l relayLogger) log(ctx context.Context, level slog.Level, text string, args ...any) {
	defer func() {
		if p := recover(); p != nil {
			l.endRun(p)
		}
	}()
	if l.notifier != "" {
		args = append(args, "notifier", l.notifier)
	}
	l.options.Logger.Log(ctx, level, text, args...)
}
