package api

// Token is what the bearer of a token may do.
type Token struct {
	Name string
	// Roles are some of RoleAgent, RoleOperator, RoleAdmin and RoleAuditor.
	Roles []string
	// InstancePrefix is what the ids of the instances begin with that the bearer may name; "" for
	// any.
	InstancePrefix string
}

// Roles lists the roles that a token may have.
func Roles() []string { return []string{RoleAgent, RoleOperator, RoleAdmin, RoleAuditor} }

// Tokens knows the tokens that are in use. It is asked at every call, so a token that has been
// taken back ends at once, also for a connection that was opened with it.
type Tokens interface {
	// Token returns the token of a name, and whether there is one.
	Token(name string) (Token, bool)
}

// The roles of tokens.
const (
	RoleAgent    = "agent"    // acts for its own instances and tasks
	RoleOperator = "operator" // everything but flush
	RoleAdmin    = "admin"    // everything
	RoleAuditor  = "auditor"  // reads
)
