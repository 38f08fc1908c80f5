package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

//go:embed pages/*.html
var pageFiles embed.FS

// pages has the templates by name: layout.html and parts.html, and a file for each page that
// defines "main".
var pages = parsePages()

func parsePages() map[string]*template.Template {
	all := map[string]*template.Template{}
	shared := template.Must(template.New("layout.html").ParseFS(pageFiles, "pages/layout.html", "pages/parts.html"))
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".html"); name != "layout" && name != "parts" {
			all[name] = template.Must(template.Must(shared.Clone()).ParseFS(pageFiles, "pages/"+f.Name()))
		}
	}
	return all
}

// page is a page to render.
type page struct {
	name    string // of the template
	status  int    // 0 for 200
	title   string // of the document
	heading any    // the text of the h1; nil if the template has its own
	main    any    // the data of the template
}

// layout is the data of the templates. Main is the data of the page.
type layout struct {
	Title   string // of the page
	Site    string // the host
	Root    string // the relative path to the mount
	Page    string // the name of the template
	Live    string // "sse", "poll" if no stream reports changes, or "" for the answer to a form
	Zone    string // the name of the viewer's time zone
	Token   string // the value of "uuid" in the forms
	User    *name  // the viewer; nil if unknown
	Viewer  string // identifies the viewer to the script, without a name
	Writes  bool   // the viewer may write
	Nav     []navLink
	Heading any
	Main    any
}

// navLink is a link in the head of the pages.
type navLink struct {
	Href, Text string
	Current    bool
}

// render answers with a page. The ETag is that of its content without the token.
func (c *console) render(req *request, p page) error {
	l := layout{
		Title: plain(p.title), Site: c.options.Title, Root: req.root, Page: p.name, Live: c.live(), Zone: req.zoneName(),
		Token: req.token, Heading: p.heading, Main: p.main,
	}
	if req.signed {
		l.Viewer = tokenOf("", &req.viewer)
		l.User, l.Writes, l.Nav = req.names.user(req.viewer.User), !req.viewer.ReadOnly, req.nav()
	}
	if p.status != 0 || req.r.Method == http.MethodPost {
		l.Live = "" // the script cannot ask for this page again
	}
	c.resolveNames(req)
	var body bytes.Buffer
	if err := pages[p.name].Execute(&body, l); err != nil {
		return err
	}
	h := req.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if p.status == 0 {
		tag := weakTag(body.Bytes(), req.token)
		h.Set("ETag", tag)
		if matches(req.r.Header.Get("If-None-Match"), tag) {
			req.w.WriteHeader(http.StatusNotModified)
			return nil
		}
		p.status = http.StatusOK
	}
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	req.w.WriteHeader(p.status)
	if req.r.Method != http.MethodHead {
		_, _ = req.w.Write(body.Bytes())
	}
	return nil
}

// plain returns a text without controls of direction, for a title or an attribute, which has no elements
// that could isolate them.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return -1
		}
		return r
	}, text)
}

// nav returns the links to the pages that the viewer may open.
func (req *request) nav() (links []navLink) {
	for _, rt := range table() {
		if rt.nav == "" || rt.operator && !req.viewer.Operator {
			continue
		}
		_, p, _ := strings.Cut(rt.pattern, " ")
		links = append(links, navLink{
			Href: req.root + strings.TrimPrefix(p, "/"), Text: rt.nav, Current: req.r.URL.Path == p,
		})
	}
	return links
}

// weakTag returns the ETag of a content without the token. It is weak because the forms of two
// answers differ in their tokens.
func weakTag(content []byte, token string) string {
	h := sha256.New()
	for found := true; found; {
		var part []byte
		part, content, found = bytes.Cut(content, []byte(token))
		_, _ = h.Write(part) // never fails
	}
	return `W/"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// matches reports whether an If-None-Match has the tag.
func matches(header, tag string) bool {
	tag = strings.TrimPrefix(tag, "W/")
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
