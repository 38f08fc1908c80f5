package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

// directory holds the users and their tokens. It is immutable while it is in use.
type directory struct {
	tokens []token
	users  map[incident.UserID]memberships
}

// token authenticates a user. Only its hash is kept. A single round of SHA-256 is enough
// for random long tokens: unlike passwords, they cannot be guessed from a dictionary.
type token struct {
	sum  [sha256.Size]byte
	user incident.UserID
}

// memberships are the organizations of a user.
type memberships map[incident.OrganizationID]membership

// membership is a member's access within an organization.
type membership struct {
	all      bool
	projects []incident.ProjectID
}

func (m membership) has(p incident.ProjectID) bool { return m.all || slices.Contains(m.projects, p) }

// admits reports whether the member may see an incident of the projects. Every member may
// see an incident without projects.
func (m membership) admits(projects []incident.ProjectID) bool {
	return len(projects) == 0 || slices.ContainsFunc(projects, m.has)
}

// filter returns the restriction of the member's lists, or nil for access to all
// projects.
func (m membership) filter() *incident.ProjectAccess {
	if m.all {
		return nil
	}
	return &incident.ProjectAccess{Projects: m.projects}
}

var _ incident.Authorizer = (*directory)(nil)

// Authorized implements [incident.Authorizer].
func (d *directory) Authorized(_ context.Context, org incident.OrganizationID, projects []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
	return slices.DeleteFunc(slices.Clone(users), func(u incident.UserID) bool {
		m, member := d.users[u][org]
		return !member || !m.admits(projects)
	}), nil
}

// userOf returns the user whose token the request bears. It compares all hashes, each in
// constant time, so that the time reveals nothing about them.
func (d *directory) userOf(r *http.Request) (user incident.UserID, err error) {
	header := r.Header["Authorization"]
	if len(header) != 1 {
		return "", errUnauthenticated
	}
	scheme, text, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errUnauthenticated
	}
	sum := sha256.Sum256([]byte(text))
	for i := range d.tokens {
		if subtle.ConstantTimeCompare(sum[:], d.tokens[i].sum[:]) == 1 {
			user = d.tokens[i].user
		}
	}
	if user == "" {
		return "", errUnauthenticated
	}
	return user, nil
}

// authenticated lets the members of the path's organization use a route. For anybody else
// the organization does not exist.
func (a *api) authenticated(of route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := a.people.userOf(r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		organization := incident.OrganizationID(r.PathValue("organization"))
		access, member := a.people.users[user][organization]
		if rec, ok := w.(*recorder); ok {
			rec.user = user
			if member {
				rec.organization = organization
			}
		}
		if !member {
			a.fail(w, r, incident.ErrNotFound)
			return
		}
		query, err := parseQuery(r.URL.RawQuery, of.parameters)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.timeout)
		defer cancel()
		if err := of.handle(a, &call{ctx, w, r, query, user, organization, access}); err != nil {
			a.fail(w, r, err)
		}
	})
}
