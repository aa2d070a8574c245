package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Document is a JSON document that a person wrote. It is edited in place: what an edit does not
// concern keeps its bytes, and what is added is indented as its surroundings are.
type Document struct {
	text    []byte
	unit    string // one level of indentation; empty if the document is on one line
	newline string
}

// Parse checks a document, whose root must be an object. White space alone is an empty object.
func Parse(text []byte) (*Document, error) {
	d := &Document{text: bytes.Clone(text), unit: "  ", newline: "\n"}
	if len(bytes.TrimSpace(text)) == 0 {
		d.text = []byte("{}\n")
		return d, nil
	}
	if err := json.Unmarshal(text, new(any)); err != nil {
		return nil, lineOf(text, err)
	}
	root := d.container(0)
	if text[root.open] != '{' {
		return nil, fmt.Errorf("it is not a JSON object")
	}
	if len(root.items) == 0 {
		return d, nil
	}
	head := text[root.open:root.items[0].from]
	line := bytes.LastIndexByte(head, '\n')
	switch {
	case line < 0:
		d.unit, d.newline = "", ""
	case bytes.Contains(head, []byte("\r\n")):
		d.newline = "\r\n"
		fallthrough
	default:
		d.unit = leadingSpace(head[line+1:])
	}
	return d, nil
}

// lineOf adds the line to an error of encoding/json.
func lineOf(text []byte, err error) error {
	at := int64(len(text))
	if syntax, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // Unmarshal does not wrap it
		at = syntax.Offset
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:at], []byte("\n")), err)
}

// leadingSpace returns the indentation of the first line of text.
func leadingSpace(text []byte) string {
	return string(text[:len(text)-len(bytes.TrimLeft(text, " \t"))])
}

// Bytes returns the document's text.
func (d *Document) Bytes() []byte { return bytes.Clone(d.text) }

// Get returns the text of a value, and reports whether it is there. Each element of path is the
// name of a member (string) or the place of an element (int).
func (d *Document) Get(path ...any) ([]byte, bool) {
	from, to, ok := d.find(path)
	return d.text[from:to], ok
}

// Set sets a member of an object to a value, and adds the objects on the path that are missing. The
// last element of path is the member's name. An equal value that is there keeps its spelling. Set
// returns an error if something on the path is not an object.
func (d *Document) Set(value any, path ...any) error {
	parent, name := path[:len(path)-1], path[len(path)-1]
	from, to, ok := d.find(path)
	if ok {
		wanted, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if same(d.text[from:to], wanted) {
			return nil
		}
		return d.replace(from, to, d.lineIndent(from), value)
	}
	if from, _, ok = d.find(parent); !ok {
		return d.Set(map[string]any{name.(string): value}, parent...) //nolint:forcetypeassert // the name of a member
	}
	if d.text[from] != '{' {
		return fmt.Errorf("%s is not an object", pathText(parent))
	}
	key, err := Marshal(name)
	if err != nil {
		return err
	}
	return d.insert(from, append(key, ':', ' '), value)
}

// Append adds an element to the end of an array.
func (d *Document) Append(value any, path ...any) error {
	from, _, ok := d.find(path)
	if !ok {
		return d.Set([]any{value}, path...)
	}
	if d.text[from] != '[' {
		return fmt.Errorf("%s is not an array", pathText(path))
	}
	return d.insert(from, nil, value)
}

func same(a, b []byte) bool {
	x, errX := Canonical(a)
	y, errY := Canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func pathText(path []any) string {
	if len(path) == 0 {
		return "the document"
	}
	var b strings.Builder
	for i, p := range path {
		if n, ok := p.(int); ok {
			fmt.Fprintf(&b, "[%d]", n)
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprint(&b, p)
	}
	return b.String()
}

// container is an object or an array in the text.
type container struct {
	open, end int // of its brackets
	items     []item
}

// item is a member of an object or an element of an array.
type item struct {
	name     string // of a member
	from, to int    // of the value
}

// container reads the object or array at an offset, at which the text must be valid.
func (d *Document) container(at int) container {
	decoder := json.NewDecoder(bytes.NewReader(d.text[at:]))
	open, _ := decoder.Token() // valid, as everything below
	c := container{open: at + int(decoder.InputOffset()) - 1}
	for decoder.More() {
		var i item
		if open == json.Delim('{') {
			name, _ := decoder.Token()
			i.name, _ = name.(string)
		}
		var value json.RawMessage
		_ = decoder.Decode(&value)
		i.to = at + int(decoder.InputOffset())
		i.from = i.to - len(value)
		c.items = append(c.items, i)
	}
	_, _ = decoder.Token()
	c.end = at + int(decoder.InputOffset()) - 1
	return c
}

// find returns the place of a value in the text. Of several members with one name the last one
// counts.
func (d *Document) find(path []any) (from, to int, ok bool) {
	root := d.container(0)
	from, to = root.open, root.end+1
	for _, p := range path {
		if d.text[from] != '{' && d.text[from] != '[' {
			return 0, 0, false
		}
		parent, found := from, false
		for n, i := range d.container(parent).items {
			if d.text[parent] == '[' && p == any(n) || d.text[parent] == '{' && p == any(i.name) {
				from, to, found = i.from, i.to, true
			}
		}
		if !found {
			return 0, 0, false
		}
	}
	return from, to, true
}

// lineIndent returns the indentation of the line of an offset.
func (d *Document) lineIndent(at int) string {
	return leadingSpace(d.text[bytes.LastIndexByte(d.text[:at], '\n')+1:])
}

// encode returns a value as it is written at an indentation.
func (d *Document) encode(value any, indent string) ([]byte, error) {
	text, err := Marshal(value)
	if err != nil || d.newline == "" {
		return text, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, indent, d.unit); err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(out.Bytes(), []byte("\n"), []byte(d.newline)), nil
}

func (d *Document) splice(from, to int, text []byte) {
	d.text = append(append(bytes.Clone(d.text[:from]), text...), d.text[to:]...)
}

func (d *Document) replace(from, to int, indent string, value any) error {
	text, err := d.encode(value, indent)
	if err == nil {
		d.splice(from, to, text)
	}
	return err
}

// insert adds an item to the end of the container at an offset.
func (d *Document) insert(at int, key []byte, value any) error {
	c := d.container(at)
	outer := d.lineIndent(c.open)
	inner, from, before, after := outer+d.unit, c.open+1, "", ""
	switch {
	case len(c.items) > 0 && (d.newline == "" || !bytes.Contains(d.text[c.open:c.items[0].from], []byte("\n"))):
		from, before = c.items[len(c.items)-1].to, ", " // the container is on one line
		inner = outer
	case len(c.items) > 0:
		inner = d.lineIndent(c.items[0].from)
		from, before = c.items[len(c.items)-1].to, ","+d.newline+inner
	case d.newline != "":
		before, after = d.newline+inner, d.newline+outer
	}
	text, err := d.encode(value, inner)
	if err != nil {
		return err
	}
	to := from
	if len(c.items) == 0 {
		to = c.end
	}
	d.splice(from, to, bytes.Join([][]byte{[]byte(before), key, text, []byte(after)}, nil))
	return nil
}
