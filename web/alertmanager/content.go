package alertmanager

import (
	"maps"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/incidentkit/incident"
)

// SourceLabel is the label of each incident that a handler opens. Its value is [Options.Source].
// [Reconciler] finds the incidents by it, and leaves incidents without it alone. An alert's label
// of this name is not kept.
const SourceLabel = "alert_source"

// Limits of a single text. The limits of all together are those of package incident.
const (
	maxLabel      = 1 << 10
	maxAnnotation = 8 << 10
	maxLink       = 2 << 10
)

// content collects labels or annotations within the limits of an incident. An entry that has no
// room is left out.
type content struct {
	values      map[string]string
	count, size int // that may be added
}

func (c *content) add(name, value string, limit int) {
	if !incident.IsID(name) {
		return
	}
	if value = cut(incident.NormalizeComment(value), limit); value == "" {
		return
	}
	if _, given := c.values[name]; given || c.count == 0 || len(name)+len(value) > c.size {
		return
	}
	c.values[name] = value
	c.count--
	c.size -= len(name) + len(value)
}

// cut returns the first bytes of a text, in whole characters.
func cut(text string, limit int) string {
	const ellipsis = "…"
	if len(text) <= limit {
		return text
	}
	end := limit - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// labelsOf returns the labels of an incident: the source, and those labels of the alert that have
// room, the names in first before the others.
func labelsOf(a *Alert, source string, first ...string) map[string]string {
	c := content{values: make(map[string]string, len(a.Labels)+1), count: incident.MaxLabels, size: incident.MaxLabelsSize}
	c.add(SourceLabel, source, maxLabel)
	for _, name := range byName(a.Labels, first...) {
		c.add(name, a.Labels[name], maxLabel)
	}
	return c.values
}

// withSource returns labels with the source.
func withSource(labels map[string]string, source string) map[string]string {
	if labels[SourceLabel] == source {
		return labels
	}
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[SourceLabel] = source
	return labels
}

// annotationsOf returns the annotations of an incident: the links of the alert, and its annotations
// that have room. A link, and an annotation whose name ends with "url", must be an http or https
// URL.
func annotationsOf(a *Alert) map[string]string {
	c := content{values: make(map[string]string, len(a.Annotations)+2), count: incident.MaxAnnotations, size: incident.MaxAnnotationsSize}
	for _, l := range []struct{ name, url string }{
		{"generatorURL", a.GeneratorURL},
		{"dashboardURL", a.DashboardURL},
		{"panelURL", a.PanelURL},
		{"silenceURL", a.SilenceURL},
		{"imageURL", a.ImageURL},
		{"externalURL", a.ExternalURL},
	} {
		c.add(l.name, link(l.url), maxLink)
	}
	for _, name := range byName(a.Annotations, "summary", "description", "runbook_url") {
		value := a.Annotations[name]
		if strings.HasSuffix(strings.ToLower(name), "url") {
			value = link(value)
		}
		c.add(name, value, maxAnnotation)
	}
	return c.values
}

// link returns an http or https URL without a password, or "" for any other text.
func link(text string) string {
	if text = strings.TrimSpace(text); text == "" || len(text) > maxLink {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	u.User = nil
	if text = u.String(); len(text) > maxLink {
		return ""
	}
	return text
}
