package postgres

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
)

// statement is assembled from fragments. In a fragment each ? stands for the next
// argument, and @ before the name of a table stands for the schema. $1 is the
// organization in every fragment.
//
// The text depends on the fragments alone: every argument is a parameter, whatever its
// value. A text that depended on values would come in as many variants as there are
// values, and each connection keeps its prepared statements.
//
// A store has at most maxTexts texts: 75 for changes (see layout and batchLayout), 16 for lists, 5 for
// reports, 4 for counts, 4 for claims, and 1 or 2 for every other call and table.
// About 30 texts for deletions are not counted, because they are rare: a connection keeps the
// most recent texts.
//
// The shape of a statement consists of its fragments and of the parameter numbers in
// them. Statements of the same shape share a [sqlText], assembled once.
type statement struct {
	database  *database
	fragments []*fragment
	shape     []byte // the number of each fragment, and a parameter number for each ? in it
	args      []any
	isOfAll   bool         // not about a single organization: see statementOfAll
	owner     string       // of a statement of all on Citus, an organization of the only shard to run it on
	parts     []*statement // on Citus, statements of the same text to run together on a server
}

// maxTexts bounds the statements that a connection prepares.
const maxTexts = 130

// fragment is a piece of a statement, cut at each ?.
type fragment struct {
	number uint64
	pieces []string
}

func (d *database) statement(organization any) *statement {
	s := &statement{
		database:  d,
		fragments: make([]*fragment, 0, 16),
		shape:     make([]byte, 0, 128),
		args:      make([]any, 1, 16),
	}
	s.args[0] = organization
	return s
}

// small returns a statement of one fragment with few arguments.
func (d *database) small(organization any) *statement {
	s := &statement{database: d, fragments: make([]*fragment, 0, 1), shape: make([]byte, 0, 16), args: make([]any, 1, 4)}
	s.args[0] = organization
	return s
}

// statementOfAll returns a statement that is not about a single organization. first is $1.
func (d *database) statementOfAll(first any) *statement {
	s := d.statement(first)
	s.isOfAll = true
	return s
}

// add appends a fragment with an argument for each ? in it.
func (s *statement) add(text string, args ...any) *statement {
	f := s.database.fragment(text)
	if len(f.pieces) != len(args)+1 {
		panic("postgres: a fragment of a statement needs one argument for each ?")
	}
	s.fragments = append(s.fragments, f)
	s.shape = binary.AppendUvarint(s.shape, f.number)
	for _, arg := range args {
		s.addArg(arg)
	}
	return s
}

// reference is the number of a parameter that several fragments share.
type reference int

// parameter adds a parameter for fragments to refer to.
func (s *statement) parameter(arg any) reference {
	s.args = append(s.args, arg)
	return reference(len(s.args))
}

func (s *statement) addArg(arg any) {
	r, isReference := arg.(reference)
	if !isReference {
		r = s.parameter(arg)
	}
	s.shape = binary.AppendUvarint(s.shape, uint64(r))
}

// assemble returns the text.
func (s *statement) assemble() string {
	var b strings.Builder
	numbers := s.shape
	next := func() uint64 {
		v, n := binary.Uvarint(numbers)
		numbers = numbers[n:]
		return v
	}
	for _, f := range s.fragments {
		next() // the fragment's number
		b.WriteString(f.pieces[0])
		for _, piece := range f.pieces[1:] {
			b.WriteByte('$')
			b.WriteString(strconv.FormatUint(next(), 10))
			b.WriteString(piece)
		}
	}
	return b.String()
}

// sqlText is the text that all statements of the same shape share. Connections keep it
// prepared: see connState.
type sqlText struct {
	text      string
	delegated *delegated // nil without Citus

	// The fields below serve the transactions of hosts, whose connections only
	// database/sql knows.
	joined atomic.Bool               // a host's transaction has sent the text
	stmt   atomic.Pointer[sqlx.Stmt] // nil until prepareJoined
}

// texts holds the texts and fragments that the store has sent.
type texts struct {
	mu        sync.RWMutex // guards the fields below
	byShape   map[string]*sqlText
	fragments map[string]*fragment // by source
}

// fragment returns the fragment with the given source.
func (d *database) fragment(source string) *fragment {
	d.texts.mu.RLock()
	f := d.texts.fragments[source]
	d.texts.mu.RUnlock()
	if f != nil {
		return f
	}
	d.texts.mu.Lock()
	defer d.texts.mu.Unlock()
	if f := d.texts.fragments[source]; f != nil {
		return f
	}
	if d.texts.fragments == nil {
		d.texts.fragments = map[string]*fragment{}
	}
	f = &fragment{number: uint64(len(d.texts.fragments)), pieces: strings.Split(d.qualify(source), "?")}
	d.texts.fragments[source] = f
	return f
}

// qualify puts the schema before the names of tables.
func (d *database) qualify(text string) string { return strings.ReplaceAll(text, "@", d.prefix()) }

// sqlText returns the text for the statement's shape.
func (s *statement) sqlText() *sqlText {
	all := &s.database.texts
	all.mu.RLock()
	t := all.byShape[string(s.shape)]
	all.mu.RUnlock()
	if t != nil {
		return t
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if t := all.byShape[string(s.shape)]; t != nil {
		return t
	}
	if all.byShape == nil {
		all.byShape = map[string]*sqlText{}
	}
	t = &sqlText{text: s.assemble()}
	if s.database.citus != nil {
		t.delegated = s.database.delegatedText(t.text)
	}
	all.byShape[string(s.shape)] = t
	return t
}

// close closes the statements that were prepared for hosts' transactions.
func (all *texts) close() {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, t := range all.byShape {
		if stmt := t.stmt.Swap(nil); stmt != nil {
			_ = stmt.Close() // the end of the connection frees it otherwise
		}
	}
}
