// Types of the dashboard that several modules use. Only the type checker reads this file; tsconfig.json
// includes it.

/** An event of the log. */
interface Envelope {
  id: string;
  seq: number;
  type: string;
  v: number;
  /** ms since 1970 */
  timestamp: number;
  actor: string;
  cause: string | null;
  trace: string | null;
  payload: Record<string, any>;
}

/** Events that the log no longer has. */
interface Gap {
  from: number;
  to: number;
  reason: string;
}

interface MethodInfo {
  name: string;
  description: string;
  metadata: { rateLimit: number; tokenRateLimit: number; roles: string[]; persist: boolean };
}

/** What system.info returns. */
interface Info {
  version: string;
  namespace?: string;
  authentication: boolean;
  caller: { name?: string; roles: string[]; instancePrefix?: string };
  traceUrl?: string;
  stores?: Record<string, any>;
}

/** Something that is shown for a while. */
interface Shown {
  /** ends when the page is left */
  signal: AbortSignal;
  /** says that the first data is shown */
  ready?: () => void;
}

/** What a page gets. */
interface Place extends Required<Shown> {
  root: HTMLElement;
  /** the rest of the address, such as the id of a task */
  id: string;
  query: URLSearchParams;
}
type Page = (place: Place) => void;

type Leaf = Node | string | number | null | undefined | false;
type Child = Leaf | Leaf[];

/** A column of a table: the class of its cells, its heading, what it shows of an item, and how the table is sorted by it. */
type Column = [style: string, heading: Child, content: (item: any) => Child, sort?: "ascending" | "descending" | null];

interface Field {
  name: string;
  label: string;
  kind?: "area" | "number" | "select";
  value?: string;
  hint?: string;
  required?: boolean;
  /** the exact text that must be typed */
  exactly?: string;
  /** values and labels of a select */
  options?: [string, string][];
  suggestions?: Promise<string[]>;
  attributes?: Record<string, string | number>;
}

/** A dialog. */
interface Question {
  title: string;
  text?: string;
  fields?: Field[];
  /** the label of the button */
  action: string;
  danger?: boolean;
  /**
   * what the button does, and what to say then; the dialog stays open with the message if it rejects; the signal
   * says that it is closed
   */
  run: (values: Record<string, string>, closed: AbortSignal) => Promise<string | void>;
}

interface Series {
  name: string;
  colour: 1 | 2 | 3 | 4;
  values: (number | undefined)[];
}

interface ChartData {
  /** what the chart shows, for those who do not see it */
  label: string;
  /** bars are stacked */
  kind: "bars" | "lines";
  /** the beginning of each minute */
  times: string[];
  series: Series[];
  show: (n: number) => string;
}

type LiveState = "connecting" | "live" | "paused" | "behind" | "offline";

interface Listener {
  events: (batch: Envelope[]) => void;
  /** events are missing: what was read must be read again */
  reload: () => void;
}

type CallError = import("./static/lib/api.js").CallError;
type Props = Record<string, unknown>;

interface Handlers {
  /** events in order, a few times a second, and as they are in the log */
  events: (batch: Envelope[], lines: string[]) => void;
  gap?: (gap: Gap) => void;
  state?: (state: "open" | "closed" | "refused", why: string) => void;
}

/** A gap as the page of the log shows it. */
interface Missing {
  gap: Gap;
  id: string;
}
