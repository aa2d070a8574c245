package api

// Token holds the rights of a token's bearer.
type Token struct {
	Name string
	// Roles holds any of RoleAgent, RoleOperator, RoleAdmin and RoleAuditor.
	Roles []string
	// InstancePrefix restricts the bearer to instances whose ids begin with it. "" permits any
	// instance.
	InstancePrefix string
}

// Roles returns the roles that a token may have.
func Roles() []string { return []string{RoleAgent, RoleOperator, RoleAdmin, RoleAuditor} }

// Tokens looks up the tokens in use. The coordinator calls it at every call, so a revoked token
// stops working at once, even on a connection that was opened with it.
type Tokens interface {
	// Token returns the token with a name and reports whether it exists.
	Token(name string) (Token, bool)
}

// The roles of tokens.
const (
	RoleAgent    = "agent"    // acts for its own instances and tasks
	RoleOperator = "operator" // everything but flush
	RoleAdmin    = "admin"    // everything
	RoleAuditor  = "auditor"  // reads
)
