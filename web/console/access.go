package console

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/incidentkit/incident"
)

// sees reports whether the viewer may see an incident of the projects, by the rule of
// [incident.ProjectAccess].
func (v *Viewer) sees(projects []incident.ProjectID) bool {
	return v.Access == nil || len(projects) == 0 || slices.ContainsFunc(projects, func(p incident.ProjectID) bool {
		return slices.Contains(v.Access.Projects, p)
	})
}

// check refuses a viewer that no Authenticate should return: an empty user would write as a program,
// and the Manager would refuse the projects of each request. It is no fault of the request.
func (v *Viewer) check() error {
	switch {
	case v.Organization == "" || v.User == "":
		return errors.New("console: Options.Authenticate has returned a Viewer without Organization or User")
	case !incident.IsID(v.Organization) || !incident.IsID(v.User), v.Access != nil && !allIDs(v.Access.Projects):
		return errors.New("console: Options.Authenticate has returned a Viewer with an identifier that no incident can have")
	case v.Access != nil && len(v.Access.Projects) > incident.MaxAccessProjects:
		return fmt.Errorf("console: Options.Authenticate has returned a Viewer with %d projects, limit %d", len(v.Access.Projects), incident.MaxAccessProjects)
	}
	return nil
}

func allIDs(projects []incident.ProjectID) bool {
	return !slices.ContainsFunc(projects, func(p incident.ProjectID) bool { return !incident.IsID(p) })
}

// key returns the key of the incident in the path. It returns [incident.ErrNotFound] for a text
// that is no identifier.
func (req *request) key() (incident.Key, error) {
	text := req.r.PathValue("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 || strconv.FormatInt(id, 10) != text {
		return incident.Key{}, incident.ErrNotFound
	}
	return incident.Key{OrganizationID: req.viewer.Organization, Identifier: id}, nil
}

// visible returns an incident of the viewer's organization. An incident that the viewer may not
// see is not found, as if it did not exist.
func (c *console) visible(req *request, identifier int64) (incident.Incident, error) {
	inc, err := c.manager.Get(req, incident.Key{OrganizationID: req.viewer.Organization, Identifier: identifier})
	if err == nil && !req.viewer.sees(inc.Projects) {
		err = incident.ErrNotFound
	}
	if err != nil {
		return incident.Incident{}, err
	}
	return inc, nil
}

// requested is visible for the incident in the path.
func (c *console) requested(req *request) (incident.Incident, error) {
	key, err := req.key()
	if err != nil {
		return incident.Incident{}, err
	}
	return c.visible(req, key.Identifier)
}

// reference is a mention of another incident. Href is empty if the viewer may not see it.
type reference struct {
	Number int64
	Href   string
	Title  string
}

// refer returns a reference to an incident. Every failure is treated as no access.
func (c *console) refer(req *request, identifier int64) reference {
	inc, err := c.visible(req, identifier)
	if err != nil {
		return reference{Number: identifier}
	}
	return reference{Number: identifier, Href: req.incidentURL(identifier), Title: inc.Title}
}

// incidentURL returns the URL of an incident, relative to the request.
func (req *request) incidentURL(identifier int64) string {
	return req.root + "incidents/" + strconv.FormatInt(identifier, 10)
}

// together runs functions at the same time, and returns the first error in their order. It panics
// if one of them does: net/http recovers the panic of a handler, but not that of another goroutine.
func together(fns ...func() error) error {
	errs := make([]error, len(fns))
	panics := make([]any, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		wg.Go(func() {
			defer func() { panics[i] = recover() }()
			errs[i] = fn()
		})
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
