package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

const acme incident.OrganizationID = "acme"

// clock is the clock of the Manager. fill sets it back, so that the demonstration has a past.
type clock struct{ behind atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(-time.Duration(c.behind.Load())) }

// at sets the clock to the time that is d ago.
func (c *clock) at(d time.Duration) { c.behind.Store(int64(max(d, 0))) }

// story is an incident of the demonstration.
type story struct {
	age      time.Duration // since its start
	lasted   time.Duration // 0 if it is active
	title    string
	status   incident.Status
	rule     incident.AlertRuleID
	projects []incident.ProjectID
	labels   map[string]string
	owner    incident.UserID
	said     []string // comments, by the owner and others in turn
}

const (
	open     = incident.StatusOpen
	warning  = incident.StatusWarning
	critical = incident.StatusCritical
	day      = 24 * time.Hour
)

// recent are the stories that the pages show first, the newest first.
var recent = []story{
	{3 * time.Minute, 0, "Checkout answers 5xx for cards of one bank", critical, "error-rate", []incident.ProjectID{"checkout", "payments"}, map[string]string{"region": "eu-west", "service": "cards"}, "", nil},
	{26 * time.Minute, 0, "Search results are older than ten minutes", warning, "index-lag", []incident.ProjectID{"search"}, map[string]string{"region": "eu-west", "service": "indexer"}, "kiran", []string{"The indexer was restarted after the deployment and reads its queue from the start.\n\nIt is at 62 %, and gains about 1 % a minute."}},
	{2*time.Hour + 12*time.Minute, 0, "Webhook deliveries to some customers are delayed", warning, "queue-age", []incident.ProjectID{"api"}, map[string]string{"service": "webhooks", "pager": "broken"}, "dana", []string{"One receiver hangs and holds its workers.", "Its workers are limited to two now. The queue is falling."}},
	{5 * time.Hour, 0, "Certificate of status.acme.example ends in three days", open, "", []incident.ProjectID{"web"}, nil, "berta", nil},
	{7 * time.Hour, 42 * time.Minute, "Sign-in is slow on phones", warning, "latency", []incident.ProjectID{"accounts", "mobile"}, map[string]string{"region": "ap-south"}, "kiran", []string{"A query without an index since this morning's release. Rolled back."}},
	{11 * time.Hour, 13 * time.Minute, "Database failover in eu-west", critical, "replica-down", []incident.ProjectID{"accounts", "api", "checkout"}, map[string]string{"region": "eu-west", "service": "postgres"}, "berta", []string{"The primary lost its disk. The standby took over after 40 s.", "All writers have reconnected."}},
	{26 * time.Hour, 3 * time.Hour, "Export of invoices fails for large accounts", open, "", []incident.ProjectID{"payments"}, nil, "dana", nil},
	{31 * time.Hour, 8 * time.Minute, "Error rate of the API above 2 %", critical, "error-rate", []incident.ProjectID{"api"}, map[string]string{"region": "us-east"}, "dana", nil},
}

// usual are the older stories. They repeat.
var usual = []story{
	{0, 14 * time.Minute, "Error rate of the API above 2 %", warning, "error-rate", []incident.ProjectID{"api"}, map[string]string{"region": "us-east"}, "dana", nil},
	{0, 3 * time.Hour, "Latency of search above 800 ms", warning, "latency", []incident.ProjectID{"search"}, map[string]string{"region": "eu-west"}, "kiran", nil},
	{0, 25 * time.Minute, "Payments of one provider are refused", critical, "error-rate", []incident.ProjectID{"payments"}, map[string]string{"service": "cards"}, "berta", nil},
	{0, 50 * time.Minute, "Push notifications arrive late", open, "queue-age", []incident.ProjectID{"mobile"}, nil, "kiran", nil},
	{0, 9 * time.Minute, "A node of the cache is out of memory", critical, "memory", []incident.ProjectID{"accounts", "web"}, map[string]string{"service": "cache"}, "dana", nil},
}

// fired reports whether a trigger opened the incident.
func (s story) fired() bool { return s.rule != "" && len(s.projects) == 1 && s.status != open }

// fill writes the demonstration: a month of incidents of the organization acme.
func fill(ctx context.Context, m incident.Manager, c *clock) error {
	defer c.at(0)
	for n := 64; n > 0; n-- {
		s := usual[(n*7+n/5)%len(usual)]
		s.age = 34*time.Hour + time.Duration(n)*11*time.Hour + time.Duration(n*n%7)*47*time.Minute
		s.lasted += time.Duration(n*n%11) * 7 * time.Minute
		if err := tell(ctx, m, c, s); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	for n := len(recent) - 1; n >= 0; n-- {
		if err := tell(ctx, m, c, recent[n]); err != nil {
			return fmt.Errorf("%s: %w", recent[n].title, err)
		}
	}
	return nil
}

// tell writes a story: a trigger fires and is resolved, or a user creates an incident and closes it.
func tell(ctx context.Context, m incident.Manager, c *clock, s story) error {
	c.at(s.age)
	r, err := begin(ctx, m, s)
	if err != nil {
		return err
	}
	step := (s.age - max(s.age-s.lasted, 0)) / 8
	if s.lasted == 0 {
		step = s.age / 8
	}
	if s.owner != "" {
		c.at(s.age - step)
		if _, err := m.Acknowledge(ctx, r.Key(), incident.Acknowledgement{UserID: s.owner}); err != nil {
			return err
		}
		c.at(s.age - step - step/2)
		if _, err := m.Assign(ctx, r.Key(), incident.Assignment{UserID: s.owner, Assignee: s.owner}); err != nil {
			return err
		}
	}
	for n, text := range s.said {
		author := s.owner
		if n%2 == 1 {
			author = "olga"
		}
		c.at(s.age - time.Duration(2+n)*step)
		if _, err := m.Comment(ctx, r.Key(), incident.NewComment{UserID: author, Comment: text}); err != nil {
			return err
		}
	}
	if s.lasted == 0 {
		return nil
	}
	c.at(s.age - s.lasted)
	if s.fired() {
		_, err = m.Resolve(ctx, incident.Resolution{Slot: slotOf(s), TriggerID: triggerOf(s)})
		return err
	}
	_, err = m.UpdateStatus(ctx, r.Key(), incident.StatusUpdate{Status: incident.StatusClosed, UserID: s.owner})
	return err
}

func begin(ctx context.Context, m incident.Manager, s story) (incident.Result, error) {
	notes := map[string]string{"runbook": "https://runbooks.acme.example/" + string(s.projects[0])}
	if !s.fired() {
		return m.Create(ctx, incident.NewIncident{
			OrganizationID: acme, Title: s.title, Status: s.status, Type: incident.TypeDetected,
			Projects: s.projects, Labels: s.labels, Annotations: notes,
		})
	}
	return m.Fire(ctx, incident.Firing{
		Slot: slotOf(s), TriggerID: triggerOf(s), Severity: s.status, Title: s.title,
		Labels: s.labels, Annotations: notes,
	})
}

func slotOf(s story) incident.Slot {
	return incident.Slot{OrganizationID: acme, AlertRuleID: s.rule, ProjectID: s.projects[0]}
}

func triggerOf(s story) incident.TriggerID {
	return incident.TriggerID(strings.ToLower(s.status.String()) + " threshold")
}
