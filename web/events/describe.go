package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/incidentkit/incident"
)

// Limits of an event's texts in bytes, so that no text takes the room of all others.
const (
	maxLabel      = 1 << 10
	maxAnnotation = 4 << 10

	// maxURL is longer than the URLs that browsers and servers accept in practice. A URL that
	// was cut would lead elsewhere.
	maxURL = 2 << 10
)

// labelsOf returns the labels of a trigger. cut reports that a text lost something.
func labelsOf(about *payload) (labels map[string]string, cut bool) {
	labels = map[string]string{}
	for name, t := range map[string]text{
		"source": about.Source, "component": about.Component, "group": about.Group, "class": about.Class,
	} {
		value := shortened(incident.NormalizeComment(t.value), maxLabel)
		if cut = cut || value != t.value || t.wrong; value != "" {
			labels[name] = value
		}
	}
	return labels, cut
}

// annotations collects annotations up to the limits of package incident.
type annotations struct {
	values  map[string]string
	size    int
	omitted int // had no room
	cut     bool
}

// omitted is the name of the annotation that counts the omitted. reserve is its room.
const (
	omitted = "omitted"
	reserve = 64
)

// add adds a value under a name, or under the first free name of "name 2", "name 3" and so on.
func (a *annotations) add(name, value string) {
	if len(a.values) == incident.MaxAnnotations-1 {
		a.omitted++
		return
	}
	kept := shortened(incident.NormalizeComment(value), maxAnnotation)
	if a.cut = a.cut || kept != value; kept == "" {
		return
	}
	name = named(name)
	for i, base := 2, name; a.values[name] != "" || name == omitted; i++ {
		name = fmt.Sprintf("%s %d", shortened(base, incident.MaxIDSize-8), i)
	}
	size := a.size + len(name) + len(kept)
	if size > incident.MaxAnnotationsSize-reserve {
		a.omitted++
		return
	}
	a.values[name], a.size = kept, size
}

// addURL adds a URL of http or https without its user and password, which are for the sender alone. It
// leaves out any other URL.
func (a *annotations) addURL(name, text string) {
	u, err := url.Parse(text)
	if err == nil && u.User != nil {
		u.User = nil
		text, a.cut = u.String(), true
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(text) > maxURL {
		a.cut = a.cut || text != ""
		return
	}
	a.add(name, text)
}

// link is an entry of links or images.
type link struct {
	Href text `json:"href"`
	Text text `json:"text"`
	Src  text `json:"src"`
	Alt  text `json:"alt"`
}

// linksOf decodes links or images, and leaves out entries that are no objects.
func (a *annotations) linksOf(data json.RawMessage) (links []link) {
	var entries []json.RawMessage
	if len(data) > 0 && json.Unmarshal(data, &entries) != nil {
		a.cut = true
	}
	for _, entry := range entries {
		var l link
		if json.Unmarshal(entry, &l) != nil {
			a.cut = true
			continue
		}
		links = append(links, l)
	}
	return links
}

// details adds the members of custom_details in order of their names.
func (a *annotations) details(data json.RawMessage) {
	if len(data) == 0 || string(data) == "null" {
		return
	}
	members := map[string]json.RawMessage{}
	if data[0] != '{' || json.Unmarshal(data, &members) != nil {
		members = map[string]json.RawMessage{"custom_details": data}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := textOf(members[name])
		if value != "" {
			a.add(name, value)
		}
	}
}

// textOf returns a string as it is, and any other value as JSON in a line. null is empty.
func textOf(data json.RawMessage) string {
	var t text
	if _ = t.UnmarshalJSON(data); !t.wrong {
		return t.value
	}
	var line bytes.Buffer
	_ = json.Compact(&line, data) // data was decoded before
	return line.String()
}

// annotationsOf returns the annotations of a trigger. cut reports that something was left out or cut.
func annotationsOf(m *message, about *payload) (values map[string]string, cut bool) {
	a := annotations{values: map[string]string{}, cut: m.Client.wrong || m.ClientURL.wrong}
	if m.Client.value != "" {
		a.add("client", m.Client.value)
	}
	a.addURL("client_url", m.ClientURL.value)
	for _, l := range a.linksOf(m.Links) {
		a.addURL(firstVisible(l.Text.value, "link"), l.Href.value)
	}
	for _, l := range a.linksOf(m.Images) {
		a.addURL(firstVisible(l.Alt.value, "image"), l.Src.value)
	}
	a.details(about.CustomDetails)
	if a.omitted > 0 {
		a.values[omitted], a.cut = fmt.Sprint(a.omitted), true
	}
	return a.values, a.cut
}

func firstVisible(names ...string) string {
	for _, name := range names {
		if incident.NormalizeTitle(name) != "" {
			return name
		}
	}
	return ""
}

// named returns a valid name of an annotation.
func named(name string) string {
	name = strings.NewReplacer("\n", " ", "\t", " ").Replace(incident.NormalizeTitle(name))
	if name = shortened(name, incident.MaxIDSize); name == "" {
		return "unnamed"
	}
	return name
}

// shortened cuts a text to a size in bytes, before a whole character.
func shortened(s string, size int) string {
	if len(s) <= size {
		return s
	}
	const ellipsis = "…"
	end := size - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
