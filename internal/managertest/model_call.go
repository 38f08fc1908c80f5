package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

// call is a call of the Manager together with the model's prediction. Both return values
// of the same types.
type call struct {
	name string
	args []any
	orgs []incident.OrganizationID // organizations that the call is about

	// parts are the calls for each key of a call for many.
	parts []call

	// isRead reports that the call cannot change anything.
	isRead bool

	// endsSlots reports that the versions of the slots of the call's organizations begin
	// again.
	endsSlots bool

	do     func(ctx context.Context, m incident.Manager) (any, error)
	expect func(w *world) (any, error)
}

func (c call) String() string {
	parts := make([]string, len(c.args))
	for i, arg := range c.args {
		parts[i] = fmt.Sprintf("%+v", arg)
	}
	args := []rune(strings.Join(parts, ", "))
	return fmt.Sprintf("%s(%s)", c.name, string(args[:min(len(args), 3000)]))
}

func only(org incident.OrganizationID) []incident.OrganizationID {
	return []incident.OrganizationID{org}
}

// errEdited means that the library modified its argument.
var errEdited = errors.New("the call changed its argument")

// answer drops the value of a failed call.
func answer[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// lend returns a copy of a list to pass to a call, and a function to run after the call.
// That function reports whether the library modified the copy, and overwrites it, so that
// a later read fails if the library kept it.
func lend[T comparable](own []T) (lent []T, back func() error) {
	lent = slices.Clone(own)
	return lent, func() error {
		if !slices.Equal(own, lent) {
			return errEdited
		}
		spoil(lent, nil)
		return nil
	}
}

// lendNamed is lend for values by name.
func lendNamed(own map[string]string) (lent map[string]string, back func() error) {
	lent = maps.Clone(own)
	return lent, func() error {
		if !maps.Equal(own, lent) {
			return errEdited
		}
		for name := range lent {
			lent[name] = "spoilt"
		}
		return nil
	}
}

func create(n incident.NewIncident) call {
	return call{
		name: "Create", args: []any{n}, orgs: only(n.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			projects, back := lend(n.Projects)
			labels, labelsBack := lendNamed(n.Labels)
			annotations, annotationsBack := lendNamed(n.Annotations)
			lent := n
			lent.Projects, lent.Labels, lent.Annotations = projects, labels, annotations
			r, err := m.Create(ctx, lent)
			return answer(r, cmp.Or(back(), labelsBack(), annotationsBack(), err))
		},
		expect: func(w *world) (any, error) { return w.create(n) },
	}
}

func updateStatus(key incident.Key, u incident.StatusUpdate) call {
	return call{
		name: "UpdateStatus", args: []any{key, u}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.UpdateStatus(ctx, key, u))
		},
		expect: func(w *world) (any, error) { return w.updateStatus(key, u) },
	}
}

func fire(f incident.Firing) call {
	return call{
		name: "Fire", args: []any{f}, orgs: only(f.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			labels, back := lendNamed(f.Labels)
			annotations, backToo := lendNamed(f.Annotations)
			lent := f
			lent.Labels, lent.Annotations = labels, annotations
			r, err := m.Fire(ctx, lent)
			return answer(r, cmp.Or(back(), backToo(), err))
		},
		expect: func(w *world) (any, error) { return w.fire(f) },
	}
}

func resolve(r incident.Resolution) call {
	return call{
		name: "Resolve", args: []any{r}, orgs: only(r.OrganizationID),
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.Resolve(ctx, r)) },
		expect: func(w *world) (any, error) { return w.resolve(r) },
	}
}

func comment(key incident.Key, n incident.NewComment) call {
	return call{
		name: "Comment", args: []any{key, n}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			mentions, back := lend(n.Mentions)
			lent := n
			lent.Mentions = mentions
			a, err := m.Comment(ctx, key, lent)
			return answer(a, cmp.Or(back(), err))
		},
		expect: func(w *world) (any, error) { return w.comment(key, n) },
	}
}

func editComment(key incident.Key, e incident.CommentEdit) call {
	return call{
		name: "EditComment", args: []any{key, e}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.EditComment(ctx, key, e))
		},
		expect: func(w *world) (any, error) { return w.editComment(key, e) },
	}
}

func deleteComment(key incident.Key, e incident.CommentEdit) call {
	return call{
		name: "DeleteComment", args: []any{key, e}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.DeleteComment(ctx, key, e))
		},
		expect: func(w *world) (any, error) { return w.deleteComment(key, e) },
	}
}

func linkProject(key incident.Key, p incident.ProjectID) call {
	return call{
		name: "LinkProject", args: []any{key, p}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.LinkProject(ctx, key, p))
		},
		expect: func(w *world) (any, error) { return w.linkProject(key, p) },
	}
}

func unlinkProject(key incident.Key, p incident.ProjectID) call {
	return call{
		name: "UnlinkProject", args: []any{key, p}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.UnlinkProject(ctx, key, p))
		},
		expect: func(w *world) (any, error) { return w.unlinkProject(key, p) },
	}
}

func markSeen(key incident.Key, user incident.UserID) call {
	return call{
		name: "MarkSeen", args: []any{key, user}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.MarkSeen(ctx, key, user))
		},
		expect: func(w *world) (any, error) { return w.markSeen(key, user) },
	}
}

func subscribe(key incident.Key, user incident.UserID) call {
	return call{
		name: "Subscribe", args: []any{key, user}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.Subscribe(ctx, key, user))
		},
		expect: func(w *world) (any, error) { return w.subscribe(key, user) },
	}
}

func unsubscribe(key incident.Key, user incident.UserID) call {
	return call{
		name: "Unsubscribe", args: []any{key, user}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return nil, m.Unsubscribe(ctx, key, user)
		},
		expect: func(w *world) (any, error) { return w.unsubscribe(key, user) },
	}
}
