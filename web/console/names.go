package console

import (
	"github.com/incidentkit/incident"
)

// name is the name of a user or project. It is empty until resolveNames.
type name struct{ text string }

func (n *name) String() string { return n.text }

// names gathers the users and projects of a page, so that the host is asked once for all.
type names struct {
	users    map[incident.UserID]*name
	projects map[incident.ProjectID]*name
}

func newNames() *names {
	return &names{users: map[incident.UserID]*name{}, projects: map[incident.ProjectID]*name{}}
}

// user returns the name of a user, nil for a program.
func (n *names) user(id incident.UserID) *name {
	if id == "" {
		return nil
	}
	return nameOf(n.users, id)
}

func (n *names) project(id incident.ProjectID) *name { return nameOf(n.projects, id) }

func nameOf[ID comparable](known map[ID]*name, id ID) *name {
	if known[id] == nil {
		known[id] = new(name)
	}
	return known[id]
}

// resolveNames asks the host for the names of the page. A page without names is better than
// none: an error is logged, and the identifiers are shown.
func (c *console) resolveNames(req *request) {
	resolve(c, req, "users", c.options.UserNames, req.names.users)
	resolve(c, req, "projects", c.options.ProjectNames, req.names.projects)
}

func resolve[ID ~string](c *console, req *request, kind string, ask namesFunc[ID], wanted map[ID]*name) {
	var known map[ID]string
	if ask != nil && len(wanted) > 0 {
		ids := make([]ID, 0, len(wanted))
		for id := range wanted {
			ids = append(ids, id)
		}
		var err error
		if known, err = ask(req, req.viewer.Organization, ids); err != nil {
			c.options.Logger.ErrorContext(req, "console: the names of "+kind+" are unknown", "error", err)
			known = nil
		}
	}
	for id, n := range wanted {
		if n.text = known[id]; n.text == "" {
			n.text = string(id)
		}
	}
}
