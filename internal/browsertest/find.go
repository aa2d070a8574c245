package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/claudebench/claudebench/internal/testenv"
)

// Locator says where an element is: its role and name, within another one or on the whole page. It
// looks again each time, so it outlives the element.
type Locator struct {
	tab        *Tab
	within     *Locator
	role, name string
	part       bool
}

// Find locates the element with a role, such as "button", and exactly this name.
func (b *Tab) Find(role, name string) Locator { return Locator{tab: b, role: role, name: name} }

// FindLike locates the first element with a role whose name, or else text, contains part.
func (b *Tab) FindLike(role, part string) Locator {
	return Locator{tab: b, role: role, name: part, part: true}
}

// Find locates an element inside this one.
func (l Locator) Find(role, name string) Locator {
	return Locator{tab: l.tab, within: &l, role: role, name: name}
}

// FindLike locates, inside this one, the first element whose name, or else text, contains part.
func (l Locator) FindLike(role, part string) Locator {
	return Locator{tab: l.tab, within: &l, role: role, name: part, part: true}
}

func (l Locator) String() string {
	s := fmt.Sprintf("%s %q", l.role, l.name)
	if l.within != nil {
		s += " in " + l.within.String()
	}
	return s
}

var errNone = errors.New("there is none")

// all returns the elements that fit now.
func (l Locator) all(ctx context.Context) ([]runtime.RemoteObjectID, error) {
	var root runtime.RemoteObjectID
	if l.within != nil {
		roots, err := l.within.all(ctx)
		if err != nil {
			return nil, err
		}
		if len(roots) == 0 {
			return nil, nil
		}
		root = roots[0]
	} else {
		body, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: "document"})
		if err != nil {
			return nil, err
		}
		root = body.Result.ObjectID
	}
	if root == "" {
		return nil, nil
	}
	params := accessibility.QueryAXTreeParams{ObjectID: root, Role: l.role}
	if !l.part {
		params.AccessibleName = l.name
	}
	found, err := chromedp.Call(ctx, accessibility.QueryAXTree, params)
	if err != nil {
		return nil, err
	}
	var fits []runtime.RemoteObjectID
	for _, node := range found.Nodes {
		if node.Ignored || node.BackendDOMNodeID == 0 {
			continue
		}
		object, err := chromedp.Call(ctx, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: node.BackendDOMNodeID})
		if err != nil {
			continue // it is gone
		}
		id := object.Object.ObjectID
		if l.part {
			var name string
			if node.Name != nil {
				_ = json.Unmarshal(node.Name.Value, &name) // a name that is no text stays empty
			}
			if !strings.Contains(name, l.name) {
				text, err := on[string](ctx, id, "function() { return this.innerText ?? '' }")
				if err != nil || !strings.Contains(text, l.name) {
					continue
				}
			}
		}
		fits = append(fits, id)
	}
	return fits, nil
}

// on calls a function with the element as this.
func on[T any](ctx context.Context, id runtime.RemoteObjectID, function string, args ...any) (T, error) {
	return chromedp.Run(ctx, chromedp.CallFunctionOn[T](function, func(p *runtime.CallFunctionOnParams) { p.ObjectID = id }, args...))
}

// with waits for the element and does something with it. An element that vanishes meanwhile is
// looked for again.
func (l Locator) with(what string, do func(ctx context.Context, id runtime.RemoteObjectID) error) {
	t := l.tab.t
	t.Helper()
	testenv.Eventually(t, Patience, func() (bool, string) {
		ctx, cancel := context.WithTimeout(l.tab.ctx, Patience)
		defer cancel()
		fits, err := l.all(ctx)
		if err == nil && len(fits) == 0 {
			err = errNone
		}
		if err == nil && len(fits) > 1 && !l.part {
			err = fmt.Errorf("there are %d", len(fits))
		}
		if err == nil {
			err = do(ctx, fits[0])
		}
		if err != nil {
			return false, fmt.Sprintf("%s %s on %s: %v. The page shows:\n%s", what, l, l.tab.Path(), err, l.tab.Text())
		}
		return true, ""
	})
}

// Count returns how many elements fit now.
func (l Locator) Count() int {
	l.tab.t.Helper()
	ctx, cancel := context.WithTimeout(l.tab.ctx, Patience)
	defer cancel()
	fits, err := l.all(ctx)
	if err != nil {
		l.tab.t.Fatalf("look for %s: %v", l, err)
	}
	return len(fits)
}

// There waits until the element is there.
func (l Locator) There() {
	l.tab.t.Helper()
	l.with("look for", func(context.Context, runtime.RemoteObjectID) error { return nil })
}

// Gone waits until no such element is there.
func (l Locator) Gone() {
	l.tab.t.Helper()
	l.tab.Until("has no "+l.String(), func() bool { return l.Count() == 0 })
}

// Text waits for the element and returns its text.
func (l Locator) Text() (text string) {
	l.tab.t.Helper()
	l.with("read", func(ctx context.Context, id runtime.RemoteObjectID) (err error) {
		text, err = on[string](ctx, id, "function() { return this.innerText ?? '' }")
		return err
	})
	return text
}

// Says waits until the element's text contains each part.
func (l Locator) Says(parts ...string) {
	l.tab.t.Helper()
	l.with("read "+strings.Join(parts, ", ")+" in", func(ctx context.Context, id runtime.RemoteObjectID) error {
		text, err := on[string](ctx, id, "function() { return this.innerText ?? '' }")
		for _, part := range parts {
			if err == nil && !strings.Contains(text, part) {
				err = fmt.Errorf("it says %q", text)
			}
		}
		return err
	})
}

// Attribute waits for the element and returns an attribute, "" if it has none.
func (l Locator) Attribute(name string) (value string) {
	l.tab.t.Helper()
	l.with("read", func(ctx context.Context, id runtime.RemoteObjectID) (err error) {
		value, err = on[string](ctx, id, "function(name) { return this.getAttribute(name) ?? '' }", name)
		return err
	})
	return value
}

// Click waits until the element can be clicked, and clicks in its middle with the mouse.
func (l Locator) Click() {
	l.tab.t.Helper()
	l.with("click", func(ctx context.Context, id runtime.RemoteObjectID) error {
		place, err := on[struct {
			X, Y float64
			Why  string
		}](ctx, id, `function() {
			this.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
			const r = [...this.getClientRects()].find((r) => r.width > 0 && r.height > 0);
			if (!r) return { why: "it is not shown" };
			const x = r.x + r.width / 2, y = r.y + r.height / 2, top = document.elementFromPoint(x, y);
			const why = this.matches(":disabled") ? "it is disabled" : top !== this && !this.contains(top) && !top?.contains(this) ? "it is covered by " + top?.outerHTML.slice(0, 200) : "";
			return { x, y, why };
		}`)
		if err == nil && place.Why != "" {
			err = errors.New(place.Why)
		}
		if err != nil {
			return err
		}
		return chromedp.Do(ctx, chromedp.MouseClickXY(place.X, place.Y))
	})
}

// Fill waits for a field, replaces its content as if it were typed, and leaves the focus in it.
func (l Locator) Fill(text string) {
	l.tab.t.Helper()
	l.with("fill", func(ctx context.Context, id runtime.RemoteObjectID) error {
		if _, err := on[bool](ctx, id, "function() { if (this.matches(':disabled')) throw new Error('it is disabled'); this.focus(); this.select(); return true; }"); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text})
		return err
	})
}

// Choose waits for a select and chooses the option with this label.
func (l Locator) Choose(label string) {
	l.tab.t.Helper()
	l.with("choose "+label+" in", func(ctx context.Context, id runtime.RemoteObjectID) error {
		_, err := on[bool](ctx, id, `function(label) {
			const option = [...this.options].find((o) => o.label === label);
			if (!option) throw new Error("it has only " + [...this.options].map((o) => o.label));
			this.value = option.value;
			this.dispatchEvent(new Event("input", { bubbles: true }));
			this.dispatchEvent(new Event("change", { bubbles: true }));
			return true;
		}`, label)
		return err
	})
}

// Focused reports whether the element, or one inside it, has the focus.
func (l Locator) Focused() (focused bool) {
	l.tab.t.Helper()
	l.with("look at", func(ctx context.Context, id runtime.RemoteObjectID) (err error) {
		focused, err = on[bool](ctx, id, "function() { return this.contains(document.activeElement) }")
		return err
	})
	return focused
}
