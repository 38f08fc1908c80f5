package main

import (
	"context"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

// The organizations of the demonstration.
const (
	demoOrganization  incident.OrganizationID = "acme"
	otherOrganization incident.OrganizationID = "globex"
)

// user is a user to choose at the sign-in page.
type user struct {
	console.Viewer
	about string
}

// choice names a user in the cookie and the form.
func (u *user) choice() string { return string(u.User) + "@" + string(u.Organization) }

// demoUsers are the users of the demonstration. No such people exist.
var demoUsers = []user{
	{console.Viewer{Organization: demoOrganization, User: "robin", Operator: true}, "writes, and operates the desk"},
	{console.Viewer{Organization: demoOrganization, User: "kim"}, "writes"},
	{console.Viewer{Organization: demoOrganization, User: "sam", ReadOnly: true}, "reads only"},
	{console.Viewer{Organization: demoOrganization, User: "lee", Access: access("search", "mail")}, "writes, and sees the projects search and mail"},
	{console.Viewer{Organization: demoOrganization, User: "alex", Access: access()}, "has no projects, and sees incidents without any"},
	{console.Viewer{Organization: otherOrganization, User: "noor", Operator: true}, "writes, in another organization"},
}

func access(projects ...incident.ProjectID) *incident.ProjectAccess {
	return &incident.ProjectAccess{Projects: projects}
}

// guest is the user of an organization that the demonstration does not have, such as that of an import.
const guest incident.UserID = "guest"

func guestOf(organization incident.OrganizationID) user {
	return user{console.Viewer{Organization: organization, User: guest, Operator: true}, "writes, and operates the desk"}
}

// find returns the user that was chosen.
func find(choice string) (user, bool) {
	for _, u := range demoUsers {
		if u.choice() == choice {
			return u, true
		}
	}
	name, organization, _ := strings.Cut(choice, "@")
	if name != string(guest) || organization == "" || isDemo(incident.OrganizationID(organization)) {
		return user{}, false
	}
	return guestOf(incident.OrganizationID(organization)), true
}

func isDemo(organization incident.OrganizationID) bool {
	return organization == demoOrganization || organization == otherOrganization
}

// assignees returns the users to whom the viewer may assign incidents: those who can write.
func assignees(_ context.Context, v console.Viewer) (users []incident.UserID, _ error) {
	for _, u := range demoUsers {
		if u.Organization == v.Organization && !u.ReadOnly {
			users = append(users, u.User)
		}
	}
	if users == nil {
		users = []incident.UserID{v.User}
	}
	return users, nil
}

// demoAuthorizer lets users into the incidents that they see. Users of whom the desk knows nothing,
// such as authors in an imported history, stay.
var demoAuthorizer = incident.AuthorizerFunc(func(_ context.Context, org incident.OrganizationID, projects []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
	return slices.DeleteFunc(slices.Clone(users), func(id incident.UserID) bool {
		u, known := find(string(id) + "@" + string(org))
		return isDemo(org) && (!known || !u.sees(projects))
	}), nil
})

// sees reports whether the user sees incidents of the projects.
func (u *user) sees(projects []incident.ProjectID) bool {
	return u.Access == nil || len(projects) == 0 ||
		slices.ContainsFunc(projects, func(p incident.ProjectID) bool { return slices.Contains(u.Access.Projects, p) })
}
