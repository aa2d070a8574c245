// Written by generate.mjs from rpc.discover; do not edit.

/**
 * A task, as every method returns it.
 */
export interface Task {
  id: string;
  text: string;
  status: string;
  priority: number;
  assignedTo: null | string;
  attempt: number;
  metadata: null | {
    [k: string]: unknown;
  };
  result: unknown;
  error: unknown;
  createdAt: string;
  updatedAt: string;
  completedAt: null | string;
  /**
   * how many tries have failed
   */
  failures: number;
  /**
   * how often the task was lost with its worker
   */
  losses: number;
  runAt: null | string;
  /**
   * the last 10 failures, the oldest first
   */
  errors:
    | null
    | {
        attempt: number;
        workerId: string;
        at: string;
        /**
         * as the worker gave it; of one of more than 1000 bytes, the beginning as a string
         */
        error: {
          [k: string]: unknown;
        };
      }[];
  retry?: null | {
    /**
     * the number of tries; default 1
     */
    maxAttempts?: null | number;
    /**
     * the pause after the first failure, in ms; default 1000
     */
    backoffMs?: null | number;
    /**
     * by how much each pause is longer than the one before; default 2
     */
    factor?: null | number;
    /**
     * the longest pause, in ms; default 3600000
     */
    maxBackoffMs?: null | number;
    /**
     * the part of the pause by which it varies at random; default 0.1
     */
    jitter?: null | number;
  };
  timeoutMs?: number;
  /**
   * when the time limit of the claimed task is over
   */
  timeoutAt?: string;
  /**
   * what its worker said last
   */
  progress?: null | {
    percent: null | number;
    message: null | string;
    data: unknown;
    at: string;
  };
  /**
   * whether its worker is to end it
   */
  cancelRequested?: boolean;
  /**
   * who called it off
   */
  cancellation?: null | {
    by: string;
    reason: null | string;
    /**
     * when the worker was asked to end it; null if nobody worked on it
     */
    requestedAt: null | string;
    /**
     * when the task is or was to be taken from the worker
     */
    cancelAt: null | string;
  };
  dependsOn?: null | string[];
  onDependencyFailure?: string;
  uniqueKey?: string;
  limitKey?: string;
  /**
   * in an answer of task.get with dependencies, what came of them
   */
  dependencies?:
    | null
    | {
        id: string;
        /**
         * null if it was deleted, or its retention is over
         */
        status: null | string;
        result: unknown;
        error: unknown;
        /**
         * whether the result and the error are left out, because those of all have more than 1 MiB
         */
        truncated?: boolean;
      }[];
  /**
   * in an answer of task.create: whether the call created the task, or an unfinished one has the same uniqueKey
   */
  created?: null | boolean;
}
/**
 * The params of system.register.
 */
export interface SystemRegisterParams {
  /**
   * unique identifier of the instance
   */
  id: string;
  /**
   * the instance's roles; an instance with the role worker gets tasks
   *
   * @maxItems 64
   */
  roles: string[];
  /**
   * maxTasks (default 10), sessionId, and any other members
   */
  metadata?: {
    /**
     * the maximum number of open tasks that the worker is assigned
     */
    maxTasks?: number;
    /**
     * the process behind the id; if it registers again with the same session, it keeps its tasks
     */
    sessionId?: string;
    [k: string]: unknown;
  };
  /**
   * milliseconds without a sign of life after which the instance is dead; default: --instance-ttl, over MCP ten minutes
   */
  ttlMs?: number;
}
/**
 * The result of system.register.
 */
export interface SystemRegisterResult {
  /**
   * false only when the id belongs to a live instance of another token
   */
  registered: boolean;
}
/**
 * The params of system.heartbeat.
 */
export interface SystemHeartbeatParams {
  /**
   * the instance that is alive
   */
  instanceId: string;
}
/**
 * The result of system.heartbeat.
 */
export interface SystemHeartbeatResult {
  alive: boolean;
  isLeader?: boolean;
  term?: number;
  /**
   * tasks of the instance that were called off: end each of them by task.complete with cancelled: true
   */
  cancel?: null | string[];
}
/**
 * The params of system.unregister.
 */
export interface SystemUnregisterParams {
  /**
   * the instance that leaves
   */
  instanceId: string;
  /**
   * the session that the instance registered with; a call with another session changes nothing
   */
  sessionId?: string;
  /**
   * when the caller decided to leave; ignored, Redis's clock counts
   */
  timestamp?: unknown;
}
/**
 * The result of system.unregister.
 */
export interface SystemUnregisterResult {
  unregistered: boolean;
  tasksReassigned: number;
}
/**
 * The params of system.health.
 */
export interface SystemHealthParams {}
/**
 * The result of system.health.
 */
export interface SystemHealthResult {
  /**
   * healthy; degraded when a service other than Redis is unavailable, the task view is behind the log for more than ten seconds, or an instance failed less than five minutes ago and is not back; unhealthy when Redis accepts no commands
   */
  status: string;
  services: {
    /**
     * Redis replies and accepts commands
     */
    redis: boolean;
    /**
     * false also if no database is configured
     */
    postgres: boolean;
    mcp: boolean;
  };
  /**
   * why the status is not healthy, one sentence for each reason
   */
  reasons?: null | string[];
}
/**
 * The params of system.check_health.
 */
export interface SystemCheckHealthParams {
  /**
   * silence in ms after which an instance is declared dead; default: the instance TTL; a shorter time needs the role operator
   */
  timeout?: number;
}
/**
 * The result of system.check_health.
 */
export interface SystemCheckHealthResult {
  healthy: null | string[];
  failed: null | string[];
  reassigned: {
    [k: string]: number;
  };
  /**
   * true if the call ended early, for example because Redis was unavailable. There may be more dead instances and tasks to return; the monitor continues the check
   */
  incomplete?: boolean;
}
/**
 * The params of system.metrics.
 */
export interface SystemMetricsParams {
  /**
   * add the breakdown by queue, event, method and circuit
   */
  detailed?: boolean;
  /**
   * add the last hour by minute
   */
  lastHour?: boolean;
}
/**
 * The result of system.metrics.
 */
export interface SystemMetricsResult {
  /**
   * events counted from the log
   */
  eventsProcessed: number;
  tasksCompleted: number;
  tasksFailed: number;
  /**
   * tasks that are not finished
   */
  tasksOpen: number;
  /**
   * live instances
   */
  instances: number;
  /**
   * tasks finished within the last minute, from the counts of this and the previous calendar minute
   */
  throughput: number;
  /**
   * mean duration of this coordinator's calls, in ms
   */
  averageLatency: number;
  /**
   * calls that this coordinator has answered
   */
  totalCalls: number;
  /**
   * memory of this coordinator's process, in MB
   */
  memoryUsage: number;
  /**
   * seconds since this coordinator started
   */
  uptime: number;
  /**
   * queues from which nothing is claimed or auto-assigned
   */
  pauses?:
    | null
    | {
        /**
         * the roles that the tasks of the queue require; empty for the tasks that require none; null for all queues
         */
        roles: null | string[];
        /**
         * null if the caller gave none
         */
        reason: null | string;
        /**
         * the actor that paused the queue
         */
        by: string;
        /**
         * when it was paused
         */
        at: string;
      }[];
  /**
   * lastHour: 60 minutes, counted from the log, the current one last
   */
  lastHour?:
    | null
    | {
        /**
         * when the minute began
         */
        time: string;
        created: number;
        completed: number;
        failed: number;
        /**
         * from queueing to claim, of the tasks claimed in this minute; absent if there were none
         */
        wait?: null | {
          /**
           * median in ms, at most 42 % too high
           */
          p50: number;
          /**
           * 95th percentile in ms, at most 42 % too high
           */
          p95: number;
        };
        /**
         * from claim to end, of the tasks finished in this minute; absent if there were none
         */
        run?: null | {
          /**
           * median in ms, at most 42 % too high
           */
          p50: number;
          /**
           * 95th percentile in ms, at most 42 % too high
           */
          p95: number;
        };
      }[];
  /**
   * detailed: this coordinator's circuit breakers
   */
  circuitBreaker?: null | {
    /**
     * methods whose circuit is closed
     */
    closed: number;
    /**
     * the state of the other circuits
     */
    notClosed: {
      [k: string]: string;
    };
    /**
     * calls rejected by an open circuit
     */
    rejected: number;
  };
  /**
   * detailed: waiting tasks, and how long tasks waited
   */
  queue?: null | {
    /**
     * tasks that wait for any worker
     */
    pending: number;
    /**
     * tasks that wait for a worker with certain roles
     */
    roles:
      | null
      | {
          roles: null | string[];
          tasks: number;
        }[];
    /**
     * tasks of instances that are gone and not yet returned to a queue, in the 100 oldest such queues
     */
    orphaned: number;
    /**
     * queues of instances that are gone
     */
    orphanQueues: number;
    /**
     * tasks assigned and not yet claimed, from the log
     */
    assigned: number;
    /**
     * tasks in progress, from the log
     */
    inProgress: number;
    /**
     * claims so far
     */
    claims: number;
    /**
     * mean time from queueing to claim, in ms
     */
    averageWaitMs: number;
    maxWaitMs: number;
    /**
     * tasks that returned to a queue after a claim
     */
    requeued: number;
    /**
     * tasks that wait for a time
     */
    scheduled: number;
    /**
     * tasks that wait for other tasks or for their turn under a limit
     */
    blocked: number;
  };
  /**
   * detailed: this coordinator's calls
   */
  counters?: null | {
    /**
     * calls by outcome
     */
    byOutcome: {
      [k: string]: number;
    };
    /**
     * 99th percentile in ms, at most an eighth too high
     */
    p99: number;
  };
  /**
   * detailed: events and tasks, from the log
   */
  global?: null | {
    /**
     * number of events by type
     */
    events: {
      [k: string]: number;
    };
    lastEventId?: string;
    lastEventAt?: string;
    tasksCreated: number;
    tasksUpdated: number;
    tasksDeleted: number;
    tasksAssigned: number;
    tasksUnassigned: number;
    tasksClaimed: number;
    /**
     * tries that failed and were followed by another one
     */
    tasksRetried: number;
    /**
     * tries whose time limit was over
     */
    tasksTimedOut: number;
    /**
     * tries that were lost with their worker
     */
    tasksLost: number;
    tasksCancelled: number;
    /**
     * mean time from the last claim to the end, in ms
     */
    averageRunMs: number;
    maxRunMs: number;
  };
  /**
   * detailed: instances, from the log
   */
  scaling?: null | {
    /**
     * registered instances
     */
    instances: number;
    /**
     * registered instances with the role worker
     */
    workers: number;
    /**
     * registrations
     */
    instancesRegistered: number;
    /**
     * registrations that resumed a session
     */
    instancesResumed: number;
    instancesUnregistered: number;
    instancesFailed: number;
    leaderElections: number;
    /**
     * tasks taken from instances that left or failed
     */
    tasksReassigned: number;
    /**
     * open tasks per live worker; 0 without a worker
     */
    openTasksPerWorker: number;
  };
  /**
   * detailed: the current state
   */
  current?: null | {
    /**
     * the time by Redis's clock
     */
    time: string;
    /**
     * live workers
     */
    workers: number;
    leader?: string;
    /**
     * the term of the last leader
     */
    term: number;
    /**
     * the seq of the last event
     */
    lastSeq: number;
    /**
     * events in the log that are not counted yet
     */
    eventsLag: number;
  };
  /**
   * detailed: this coordinator's calls over MCP
   */
  mcpCalls?: null | {
    totalCalls: number;
    successCount: number;
    errorCount: number;
  };
  /**
   * detailed: the status of system.health
   */
  systemHealthCheck?: null | {
    /**
     * healthy; degraded when a service other than Redis is unavailable, the task view is behind the log for more than ten seconds, or an instance failed less than five minutes ago and is not back; unhealthy when Redis accepts no commands
     */
    status: string;
    services: {
      /**
       * Redis replies and accepts commands
       */
      redis: boolean;
      /**
       * false also if no database is configured
       */
      postgres: boolean;
      mcp: boolean;
    };
    /**
     * why the status is not healthy, one sentence for each reason
     */
    reasons?: null | string[];
    /**
     * instances that failed in the last five minutes and are not back
     */
    failedInstances: number;
  };
  /**
   * detailed: this coordinator's calls by method
   */
  handlers?: {
    [k: string]: {
      totalCalls: number;
      successCount: number;
      errorCount: number;
      /**
       * mean duration in ms
       */
      avgResponseTime: number;
      /**
       * 99th percentile in ms, at most an eighth too high
       */
      p99: number;
      /**
       * CLOSED, OPEN or HALF_OPEN
       */
      circuitState: string;
      /**
       * calls rejected by the rate limit
       */
      rateLimitHits: number;
      lastCalled?: string;
    };
  };
}
/**
 * The params of system.get_state.
 */
export interface SystemGetStateParams {
  /**
   * maximum number of entries of each list; default 200, over MCP 10; at most 100 events
   */
  limit?: number;
  /**
   * a position in the log: an event's ID, its seq, a time (RFC 3339) or ms since 1970. The result then has only past, the state as it stood there, which the coordinator folds from the log: one call at a time, for at most 30 seconds. It needs the role auditor, operator or admin
   */
  at?: string;
}
/**
 * The result of system.get_state.
 */
export interface SystemGetStateResult {
  /**
   * pending or in progress, the highest priority first; at most 200
   */
  tasks?: null | Task[];
  /**
   * alive, the one seen last first; at most 200
   */
  instances?:
    | null
    | {
        id: string;
        roles: null | string[];
        /**
         * ACTIVE, IDLE or BUSY
         */
        status: string;
        /**
         * ms since 1970
         */
        lastSeen: number;
        lastHeartbeat: string;
        registeredAt: string;
        metadata: null | {
          [k: string]: unknown;
        };
        isLeader: boolean;
        /**
         * ms after its last sign of life until it counts as dead
         */
        ttlMs: number;
        /**
         * tasks that may be assigned to it at once, with those in progress
         */
        maxTasks: number;
        /**
         * tasks that it works on
         */
        inProgress: number;
        /**
         * tasks that are assigned to it and that it has not claimed yet
         */
        assigned: number;
      }[];
  /**
   * queues from which nothing is claimed or auto-assigned
   */
  pauses?:
    | null
    | {
        /**
         * the roles that the tasks of the queue require; empty for the tasks that require none; null for all queues
         */
        roles: null | string[];
        /**
         * null if the caller gave none
         */
        reason: null | string;
        /**
         * the actor that paused the queue
         */
        by: string;
        /**
         * when it was paused
         */
        at: string;
      }[];
  /**
   * the newest first; at most 100
   */
  recentEvents?:
    | null
    | {
        id: string;
        seq: number;
        type: string;
        v: number;
        /**
         * ms since 1970
         */
        timestamp: number;
        actor: string;
        cause: null | string;
        trace: null | string;
        payload: null | {
          [k: string]: unknown;
        };
      }[];
  /**
   * the total number; only if the list was cut
   */
  totals?: null | {
    tasks: number;
    instances: number;
  };
  /**
   * the fleet as it stood at the position at; only with at
   */
  past?: null | {
    at: {
      /**
       * the last event up to that moment; absent before the first one
       */
      id?: string;
      /**
       * its seq; 0 before the first one
       */
      seq: number;
      /**
       * its time, by Redis's clock
       */
      time?: string;
    };
    /**
     * absent if there was none
     */
    leader?: string;
    /**
     * the term of the last leader
     */
    term: number;
    /**
     * tasks by status; deleted ones do not count
     */
    statuses: {
      [k: string]: number;
    };
    /**
     * the queues of tasks that wait for a worker, and those that were paused
     */
    queues:
      | null
      | {
          /**
           * array of strings; empty for tasks without roles; null for the pause of all queues
           */
          roles: unknown;
          /**
           * tasks that wait for a worker
           */
          waiting: number;
          /**
           * reason, by and at; absent if the queue was not paused
           */
          pause?: null | {
            [k: string]: unknown;
          };
        }[];
    /**
     * open tasks by the kind of queue: waiting, assigned, active, scheduled, blocked, or orphaned (set aside when an instance left, until they go back)
     */
    places: {
      [k: string]: number;
    };
    limits?:
      | null
      | {
          key: string;
          /**
           * the limit
           */
          concurrent: number;
          /**
           * tasks that count for it: pending or in progress
           */
          running: number;
        }[];
    schedules?:
      | null
      | {
          id: string;
          cron: string;
          timezone: string;
          paused: boolean;
          nextTick?: string;
          /**
           * tasks that it has made
           */
          fired: number;
        }[];
    /**
     * registered ones, by id. The log does not say whether one was alive: a dead one is registered until the monitor notices it
     */
    instances:
      | null
      | {
          id: string;
          /**
           * array of strings
           */
          roles: unknown;
          /**
           * ACTIVE, IDLE or BUSY; empty if the log does not have it
           */
          status: string;
          sessionId?: string;
          registeredAt?: string;
          isLeader: boolean;
          /**
           * tasks that it had claimed
           */
          inProgress: number;
          /**
           * tasks that were assigned to it and not claimed
           */
          assigned: number;
        }[];
    /**
     * open ones, the highest priority first
     */
    tasks:
      | null
      | {
          id: string;
          /**
           * at most 200 characters of it
           */
          text: string;
          status: string;
          /**
           * -1 if the log does not have it
           */
          priority: number;
          /**
           * its owner, or its last one if it is finished
           */
          assignedTo?: string;
          /**
           * -1 if the log does not have it
           */
          attempt: number;
          /**
           * the roles that it requires; absent for none
           */
          roles?: unknown;
          /**
           * the kind of queue; absent if it is finished
           */
          place?: string;
          /**
           * when it was claimed, if it is in progress; when it ended, if it is finished; else when it was queued
           */
          since?: string;
          /**
           * of a scheduled task
           */
          runAt?: string;
          /**
           * when it is taken from its owner
           */
          deadline?: string;
          limitKey?: string;
          failures?: number;
          losses?: number;
        }[];
    totals: {
      /**
       * open tasks
       */
      tasks: number;
      instances: number;
      queues: number;
      limits: number;
      schedules: number;
    };
    /**
     * what is not certain, and why; at most 10
     */
    notes?: null | string[];
  };
}
/**
 * The params of system.info.
 */
export interface SystemInfoParams {}
/**
 * The result of system.info.
 */
export interface SystemInfoResult {
  /**
   * of the coordinator that replies
   */
  version: string;
  /**
   * empty for the default namespace
   */
  namespace: string;
  /**
   * whether callers need a token
   */
  authentication: boolean;
  caller: {
    /**
     * of the token
     */
    name?: string;
    /**
     * all roles if authentication is disabled
     */
    roles: null | string[];
    /**
     * the token may use only instances whose ids begin with it
     */
    instancePrefix?: string;
  };
  /**
   * coordinators of this namespace that were alive within the last four seconds; 0 if Redis does not reply
   */
  coordinators: number;
  /**
   * --trace-url: the address of a trace, with {trace} in the place of its id, which is the second part of an event's trace
   */
  traceUrl?: string;
  stores: {
    redis: {
      /**
       * ok, or unavailable with the cause if it is known
       */
      status: string;
      /**
       * Redis, Valkey, or in-memory for the one that up uses without either
       */
      product: string;
      /**
       * like all settings: unknown if Redis does not tell it
       */
      version: string;
      /**
       * standalone, cluster or sentinel
       */
      mode: string;
      /**
       * master or slave
       */
      role: string;
      /**
       * in bytes
       */
      memoryUsed?: null | number;
      /**
       * in bytes; 0 is no limit
       */
      maxMemory?: null | number;
      /**
       * maxmemory-policy; any other than noeviction can lose data
       */
      policy: string;
      persistence: {
        /**
         * on or off: the append-only file
         */
        aof: string;
        /**
         * appendfsync: always, everysec or no
         */
        fsync: string;
        /**
         * ok or err
         */
        lastAofWrite: string;
        /**
         * ok or err
         */
        lastSnapshotWrite: string;
      };
      /**
       * settings that can lose data, a sentence each, with what to do
       */
      warnings: null | string[];
    };
    postgres?: null | {
      /**
       * ok, not migrated yet, or unavailable with the cause if it is known
       */
      status: string;
      /**
       * like all settings: unknown if Postgres does not reply
       */
      version: string;
      fsync: string;
      synchronousCommit: string;
      fullPageWrites: string;
      /**
       * settings that can lose or stop the task view, a sentence each, with what to do
       */
      warnings: null | string[];
    };
  };
}
/**
 * The params of system.subscribers.
 */
export interface SystemSubscribersParams {}
/**
 * The result of system.subscribers.
 */
export interface SystemSubscribersResult {
  /**
   * the projections, then the checkpoints that moved last, then the consumer groups; at most 200
   */
  subscribers:
    | null
    | {
        /**
         * the name of the checkpoint, of the consumer group or of the projection
         */
        name: string;
        /**
         * checkpoint, group or projection
         */
        kind: string;
        /**
         * events for the log, or the event type of a topic
         */
        stream: string;
        /**
         * the ID of the last event that it has read; absent if it has read none, or if Postgres does not reply
         */
        position?: string;
        /**
         * the seq of position
         */
        seq?: null | number;
        /**
         * events that it has not read; absent if unknown
         */
        lag?: null | number;
        /**
         * age of the first of them in ms
         */
        lagMs?: null | number;
        /**
         * of a group: events that were delivered and not acknowledged
         */
        pending?: null | number;
        /**
         * of a group of a topic: events that it has parked
         */
        parked?: null | number;
        /**
         * events that the log keeps beyond its retention because this subscriber needs them; absent without a retention
         */
        holds?: null | number;
        /**
         * of a checkpoint: when it moved last, by the clock of its service
         */
        updatedAt?: string;
      }[];
  /**
   * the number of events that consumer groups have parked
   */
  parked: number;
  /**
   * the number of all subscribers; only if the list was cut
   */
  total?: number;
}
/**
 * The params of system.batch.process.
 */
export interface SystemBatchProcessParams {
  /**
   * the batch's id; a call with the same id and items continues the batch
   */
  batchId: string;
  /**
   * the instance that processes it
   */
  instanceId: string;
  /**
   * an object with text is a task {text, priority, metadata}; any other value becomes metadata.item of a task
   *
   * @minItems 1
   * @maxItems 10000
   */
  items: unknown[];
}
/**
 * The result of system.batch.process.
 */
export interface SystemBatchProcessResult {
  processed: boolean;
  processorId: string;
  itemsProcessed: number;
  total: number;
  /**
   * why the next items were rejected, as in the data of a conflict; resolve it before you call again
   */
  reason?: string;
}
/**
 * The params of system.quorum.vote.
 */
export interface SystemQuorumVoteParams {
  /**
   * the instance that votes
   */
  instanceId: string;
  /**
   * the decision's id
   */
  decision: string;
  /**
   * the value to vote for: any JSON but null, up to 1024 bytes; objects are equal whatever the order of their members
   */
  value:
    | string
    | number
    | boolean
    | {
        [k: string]: unknown;
      }
    | unknown[];
  /**
   * the number of instances that vote; the first vote fixes it; default 3
   */
  totalInstances?: number;
}
/**
 * The result of system.quorum.vote.
 */
export interface SystemQuorumVoteResult {
  voted: boolean;
  quorumReached: boolean;
  finalDecision?: unknown;
  voteCount: number;
}
/**
 * The params of system.discover.
 */
export interface SystemDiscoverParams {
  /**
   * only the methods of this domain, such as task
   */
  domain?: string;
}
/**
 * The result of system.discover.
 */
export interface SystemDiscoverResult {
  methods:
    | null
    | {
        name: string;
        description: string;
        inputSchema: null | {
          [k: string]: unknown;
        };
        outputSchema: null | {
          [k: string]: unknown;
        };
        metadata: {
          /**
           * whether calls change stored state
           */
          persist: boolean;
          /**
           * calls a minute for each actor; 0 for no limit
           */
          rateLimit: number;
          /**
           * calls a minute that a token may make for all its instances together; 0 for no limit
           */
          tokenRateLimit: number;
          /**
           * a token needs one of these roles
           */
          roles: null | string[];
        };
      }[];
}
/**
 * The params of system.flush.
 */
export interface SystemFlushParams {
  /**
   * must be exactly FLUSH_ALL_DATA
   */
  confirm: "FLUSH_ALL_DATA";
  /**
   * also delete the rows of the task view; default true
   */
  includePostgres?: boolean;
}
/**
 * The result of system.flush.
 */
export interface SystemFlushResult {
  redis: {
    keysDeleted: number;
    patterns: null | string[];
  };
  postgres?: null | {
    tasksDeleted: number;
  };
  timestamp: string;
}
/**
 * The params of task.create.
 */
export interface TaskCreateParams {
  /**
   * the work to do
   */
  text: string;
  /**
   * the highest is claimed first; default 50
   */
  priority?: number;
  /**
   * any members; the member roles, an array of strings, lists the roles that a worker must have
   */
  metadata?: {
    /**
     * the roles that a worker must have
     *
     * @maxItems 64
     */
    roles?: null | string[];
    [k: string]: unknown;
  };
  /**
   * when the task becomes claimable, ISO 8601 with a zone; default: at once
   */
  runAt?: string;
  /**
   * how long until then, in ms, instead of runAt
   */
  delayMs?: number;
  /**
   * how the task is tried again when it fails
   */
  retry?: {
    /**
     * the number of tries; default 1
     */
    maxAttempts?: number;
    /**
     * the pause after the first failure, in ms; default 1000
     */
    backoffMs?: number;
    /**
     * by how much each pause is longer than the one before; default 2
     */
    factor?: number;
    /**
     * the longest pause, in ms; default 3600000
     */
    maxBackoffMs?: number;
    /**
     * the part of the pause by which it varies at random; default 0.1
     */
    jitter?: number;
  };
  /**
   * how long the claimed task may go without a sign of life of its own (task.claim, task.progress), in ms; default: for ever
   */
  timeoutMs?: number;
  /**
   * tasks that must be completed before. They must exist, so there can be no cycle
   *
   * @minItems 1
   * @maxItems 100
   */
  dependsOn?: string[];
  /**
   * what happens if one of them fails for good, or is cancelled or deleted; default cancel
   */
  onDependencyFailure?: "cancel" | "run";
  /**
   * while an unfinished task has this key, the call returns that one, with created: false
   */
  uniqueKey?: string;
  /**
   * the key of a limit (limit.set); at most so many tasks of the key are pending or in progress at once
   */
  limitKey?: string;
  /**
   * for 24 hours, a call with the same key returns the first answer
   */
  idempotencyKey?: string;
}
/**
 * The params of task.create_many.
 */
export interface TaskCreateManyParams {
  /**
   * the tasks, each an object with the params of task.create
   *
   * @minItems 1
   * @maxItems 1000
   */
  tasks: {
    /**
     * the work to do
     */
    text: string;
    /**
     * the highest is claimed first; default 50
     */
    priority?: number;
    /**
     * any members; the member roles, an array of strings, lists the roles that a worker must have
     */
    metadata?: {
      /**
       * the roles that a worker must have
       *
       * @maxItems 64
       */
      roles?: null | string[];
      [k: string]: unknown;
    };
    /**
     * when the task becomes claimable, ISO 8601 with a zone; default: at once
     */
    runAt?: string;
    /**
     * how long until then, in ms, instead of runAt
     */
    delayMs?: number;
    /**
     * how the task is tried again when it fails
     */
    retry?: {
      /**
       * the number of tries; default 1
       */
      maxAttempts?: number;
      /**
       * the pause after the first failure, in ms; default 1000
       */
      backoffMs?: number;
      /**
       * by how much each pause is longer than the one before; default 2
       */
      factor?: number;
      /**
       * the longest pause, in ms; default 3600000
       */
      maxBackoffMs?: number;
      /**
       * the part of the pause by which it varies at random; default 0.1
       */
      jitter?: number;
    };
    /**
     * how long the claimed task may go without a sign of life of its own (task.claim, task.progress), in ms; default: for ever
     */
    timeoutMs?: number;
    /**
     * tasks that must be completed before. They must exist, so there can be no cycle
     *
     * @minItems 1
     * @maxItems 100
     */
    dependsOn?: string[];
    /**
     * what happens if one of them fails for good, or is cancelled or deleted; default cancel
     */
    onDependencyFailure?: "cancel" | "run";
    /**
     * while an unfinished task has this key, the call returns that one, with created: false
     */
    uniqueKey?: string;
    /**
     * the key of a limit (limit.set); at most so many tasks of the key are pending or in progress at once
     */
    limitKey?: string;
    /**
     * for 24 hours, a call with the same key returns the first answer
     */
    idempotencyKey?: string;
  }[];
}
/**
 * The result of task.create_many.
 */
export interface TaskCreateManyResult {
  succeeded: number;
  failed: number;
  /**
   * for each item, in order: result, as the method for one item returns it, or error, with code, message and data
   */
  answers:
    | null
    | {
        result?: Task | null;
        error?: null | {
          code: number;
          message: string;
          data?: unknown;
        };
      }[];
}
/**
 * The params of task.update.
 */
export interface TaskUpdateParams {
  /**
   * the task to change
   */
  id: string;
  /**
   * what to change; at least one member
   */
  updates: {
    /**
     * the work to do
     */
    text?: string;
    /**
     * the new status; pending releases the task; in_progress, completed and failed need an owner
     */
    status?: "pending" | "in_progress" | "completed" | "failed";
    /**
     * the highest is claimed first
     */
    priority?: number;
    /**
     * members to add or replace; the others stay
     */
    metadata?: {
      /**
       * the roles that a worker must have
       *
       * @maxItems 64
       */
      roles?: null | string[];
      [k: string]: unknown;
    };
  };
}
/**
 * The params of task.assign.
 */
export interface TaskAssignParams {
  /**
   * the task to assign
   */
  taskId: string;
  /**
   * the instance that gets it
   */
  instanceId: string;
}
/**
 * The result of task.assign.
 */
export interface TaskAssignResult {
  taskId: string;
  instanceId: string;
  assignedAt: string;
}
/**
 * The params of task.unassign.
 */
export interface TaskUnassignParams {
  /**
   * the task to take back
   */
  taskId: string;
}
/**
 * The result of task.unassign.
 */
export interface TaskUnassignResult {
  taskId: string;
  previousAssignment: string;
  unassignedAt: string;
}
/**
 * The params of task.claim.
 */
export interface TaskClaimParams {
  /**
   * the instance that will do the work
   */
  workerId: string;
  /**
   * the maximum number of tasks to claim; default 1. The call claims no further task once the text and metadata of its tasks exceed 4 MiB
   */
  maxTasks?: number;
  /**
   * how long to wait for a task if there is none, in ms, over MCP 50000 at most; default 0. Meanwhile the worker stays registered
   */
  waitMs?: number;
  /**
   * for 24 hours, a call with the same key returns the first answer
   */
  idempotencyKey?: string;
}
/**
 * The result of task.claim.
 */
export interface TaskClaimResult {
  claimed: boolean;
  taskId?: string;
  task?: Task | null;
  tasks?: null | Task[];
}
/**
 * The params of task.complete.
 */
export interface TaskCompleteParams {
  /**
   * the task to finish; required without taskId
   */
  id?: string;
  /**
   * another name for id
   */
  taskId?: string;
  /**
   * the instance that must own the task; default: any
   */
  workerId?: string;
  /**
   * the attempt that task.claim returned; rejected if the task was claimed again since
   */
  attempt?: number;
  /**
   * the result of the work; any JSON
   */
  result?: unknown;
  /**
   * why the work failed; any JSON. Unless it is null, the task becomes failed, or scheduled if a try is left
   */
  error?: unknown;
  /**
   * with an error, whether the task may be tried again; default true
   */
  retryable?: boolean;
  /**
   * the worker ends a task that was called off
   */
  cancelled?: boolean;
  /**
   * for 24 hours, a call with the same key returns the first answer
   */
  idempotencyKey?: string;
}
/**
 * The result of task.complete.
 */
export interface TaskCompleteResult {
  id: string;
  status: string;
  completedAt?: string;
  /**
   * when the next try begins
   */
  runAt?: string;
}
/**
 * The params of task.complete_many.
 */
export interface TaskCompleteManyParams {
  /**
   * the finished tasks, each an object with the params of task.complete
   *
   * @minItems 1
   * @maxItems 1000
   */
  items: {
    /**
     * the task to finish; required without taskId
     */
    id?: string;
    /**
     * another name for id
     */
    taskId?: string;
    /**
     * the instance that must own the task; default: any
     */
    workerId?: string;
    /**
     * the attempt that task.claim returned; rejected if the task was claimed again since
     */
    attempt?: number;
    /**
     * the result of the work; any JSON
     */
    result?: unknown;
    /**
     * why the work failed; any JSON. Unless it is null, the task becomes failed, or scheduled if a try is left
     */
    error?: unknown;
    /**
     * with an error, whether the task may be tried again; default true
     */
    retryable?: boolean;
    /**
     * the worker ends a task that was called off
     */
    cancelled?: boolean;
    /**
     * for 24 hours, a call with the same key returns the first answer
     */
    idempotencyKey?: string;
  }[];
}
/**
 * The result of task.complete_many.
 */
export interface TaskCompleteManyResult {
  succeeded: number;
  failed: number;
  /**
   * for each item, in order: result, as the method for one item returns it, or error, with code, message and data
   */
  answers:
    | null
    | {
        result?: null | {
          id: string;
          status: string;
          completedAt?: string;
          /**
           * when the next try begins
           */
          runAt?: string;
        };
        error?: null | {
          code: number;
          message: string;
          data?: unknown;
        };
      }[];
}
/**
 * The params of task.progress.
 */
export interface TaskProgressParams {
  /**
   * the task
   */
  id: string;
  /**
   * the instance that has claimed it
   */
  workerId: string;
  /**
   * the attempt that task.claim returned
   */
  attempt: number;
  /**
   * how much is done
   */
  percent?: number;
  /**
   * what the worker does now
   */
  message?: string;
  /**
   * any JSON, at most 16 KiB
   */
  data?: unknown;
}
/**
 * The result of task.progress.
 */
export interface TaskProgressResult {
  /**
   * whether the worker is to end the task with cancelled: true
   */
  cancelRequested: boolean;
  /**
   * when the task's time limit is over now
   */
  timeoutAt?: string;
}
/**
 * The params of task.cancel.
 */
export interface TaskCancelParams {
  /**
   * the task to call off
   */
  id: string;
  /**
   * why
   */
  reason?: string;
  /**
   * how long the worker of a claimed task has to end it, in ms; default 30000
   */
  graceMs?: number;
}
/**
 * The result of task.cancel.
 */
export interface TaskCancelResult {
  id: string;
  status: string;
  /**
   * whether a worker is still to end the task
   */
  cancelRequested: boolean;
  /**
   * when the task is taken from it
   */
  cancelAt?: string;
  completedAt?: string;
}
/**
 * The params of task.retry.
 */
export interface TaskRetryParams {
  /**
   * the task to try again; required without ids
   */
  id?: string;
  /**
   * several tasks instead
   *
   * @minItems 1
   * @maxItems 100
   */
  ids?: string[];
}
/**
 * The result of task.retry.
 */
export interface TaskRetryResult {
  id?: string;
  status?: string;
  /**
   * the number of its last claim
   */
  attempt?: number;
  /**
   * in a call with ids, how many were revived
   */
  retried?: null | number;
  tasks?:
    | null
    | {
        id: string;
        status?: string;
        /**
         * the number of its last claim
         */
        attempt?: number;
        /**
         * in a call with ids, why the task was not revived
         */
        reason?: string;
      }[];
}
/**
 * The params of task.cancel_many.
 */
export interface TaskCancelManyParams {
  /**
   * which tasks, as in task.list; at least one member. Tasks that are finished or were called off before never match
   */
  filter: {
    /**
     * only tasks with this status
     */
    status?: "scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled";
    /**
     * only tasks with one of these statuses; not together with status
     *
     * @minItems 1
     * @maxItems 7
     */
    statuses?: ("scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled")[];
    /**
     * only tasks of this instance
     */
    assignedTo?: string;
    /**
     * only tasks with this priority
     */
    priority?: number;
    /**
     * only tasks that require this role
     */
    role?: string;
    /**
     * only tasks whose text contains this, in upper or lower case; every character stands for itself
     */
    text?: string;
    /**
     * only tasks whose error contains this, likewise; an error that is not a string is searched as JSON
     */
    error?: string;
    /**
     * only tasks whose metadata has each of these members with an equal value: numbers by value, objects in any order of members; at most 4 KiB
     */
    metadata?: {
      [k: string]: unknown;
    };
    /**
     * only tasks created at or after this time, ISO 8601 with a time zone
     */
    createdAfter?: string;
    /**
     * only tasks created before this time
     */
    createdBefore?: string;
    /**
     * only tasks whose last change was at or after this time
     */
    updatedAfter?: string;
    /**
     * only tasks whose last change was before this time
     */
    updatedBefore?: string;
  };
  /**
   * the maximum number of tasks to change, the oldest first; default 10000
   */
  limit?: number;
  /**
   * why
   */
  reason?: string;
  /**
   * how long the worker of a claimed task has to end it, in ms; default 30000
   */
  graceMs?: number;
}
/**
 * The result of task.cancel_many.
 */
export interface TaskCancelManyResult {
  /**
   * the tasks that the view in Postgres found
   */
  matched: number;
  /**
   * those that were changed. The others have changed meanwhile, or are not the caller's
   */
  done: number;
  /**
   * whether a store failed or the time was over before the end: the same call goes on
   */
  incomplete?: boolean;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of task.retry_many.
 */
export interface TaskRetryManyParams {
  /**
   * which tasks, as in task.list; at least one member
   */
  filter: {
    /**
     * only tasks with this status
     */
    status?: "scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled";
    /**
     * only tasks with one of these statuses; not together with status
     *
     * @minItems 1
     * @maxItems 7
     */
    statuses?: ("scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled")[];
    /**
     * only tasks of this instance
     */
    assignedTo?: string;
    /**
     * only tasks with this priority
     */
    priority?: number;
    /**
     * only tasks that require this role
     */
    role?: string;
    /**
     * only tasks whose text contains this, in upper or lower case; every character stands for itself
     */
    text?: string;
    /**
     * only tasks whose error contains this, likewise; an error that is not a string is searched as JSON
     */
    error?: string;
    /**
     * only tasks whose metadata has each of these members with an equal value: numbers by value, objects in any order of members; at most 4 KiB
     */
    metadata?: {
      [k: string]: unknown;
    };
    /**
     * only tasks created at or after this time, ISO 8601 with a time zone
     */
    createdAfter?: string;
    /**
     * only tasks created before this time
     */
    createdBefore?: string;
    /**
     * only tasks whose last change was at or after this time
     */
    updatedAfter?: string;
    /**
     * only tasks whose last change was before this time
     */
    updatedBefore?: string;
  };
  /**
   * the maximum number of tasks to change, the oldest first; default 10000
   */
  limit?: number;
}
/**
 * The result of task.retry_many.
 */
export interface TaskRetryManyResult {
  /**
   * the tasks that the view in Postgres found
   */
  matched: number;
  /**
   * those that were changed. The others have changed meanwhile, or are not the caller's
   */
  done: number;
  /**
   * whether a store failed or the time was over before the end: the same call goes on
   */
  incomplete?: boolean;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of task.delete_many.
 */
export interface TaskDeleteManyParams {
  /**
   * which tasks, as in task.list; at least one member
   */
  filter: {
    /**
     * only tasks with this status
     */
    status?: "scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled";
    /**
     * only tasks with one of these statuses; not together with status
     *
     * @minItems 1
     * @maxItems 7
     */
    statuses?: ("scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled")[];
    /**
     * only tasks of this instance
     */
    assignedTo?: string;
    /**
     * only tasks with this priority
     */
    priority?: number;
    /**
     * only tasks that require this role
     */
    role?: string;
    /**
     * only tasks whose text contains this, in upper or lower case; every character stands for itself
     */
    text?: string;
    /**
     * only tasks whose error contains this, likewise; an error that is not a string is searched as JSON
     */
    error?: string;
    /**
     * only tasks whose metadata has each of these members with an equal value: numbers by value, objects in any order of members; at most 4 KiB
     */
    metadata?: {
      [k: string]: unknown;
    };
    /**
     * only tasks created at or after this time, ISO 8601 with a time zone
     */
    createdAfter?: string;
    /**
     * only tasks created before this time
     */
    createdBefore?: string;
    /**
     * only tasks whose last change was at or after this time
     */
    updatedAfter?: string;
    /**
     * only tasks whose last change was before this time
     */
    updatedBefore?: string;
  };
  /**
   * the maximum number of tasks to change, the oldest first; default 10000
   */
  limit?: number;
}
/**
 * The result of task.delete_many.
 */
export interface TaskDeleteManyResult {
  /**
   * the tasks that the view in Postgres found
   */
  matched: number;
  /**
   * those that were changed. The others have changed meanwhile, or are not the caller's
   */
  done: number;
  /**
   * whether a store failed or the time was over before the end: the same call goes on
   */
  incomplete?: boolean;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of task.list.
 */
export interface TaskListParams {
  /**
   * only tasks with this status
   */
  status?: "scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled";
  /**
   * only tasks with one of these statuses; not together with status
   *
   * @minItems 1
   * @maxItems 7
   */
  statuses?: ("scheduled" | "blocked" | "pending" | "in_progress" | "completed" | "failed" | "cancelled")[];
  /**
   * only tasks of this instance
   */
  assignedTo?: string;
  /**
   * only tasks with this priority
   */
  priority?: number;
  /**
   * only tasks that require this role
   */
  role?: string;
  /**
   * only tasks whose text contains this, in upper or lower case; every character stands for itself
   */
  text?: string;
  /**
   * only tasks whose error contains this, likewise; an error that is not a string is searched as JSON
   */
  error?: string;
  /**
   * only tasks whose metadata has each of these members with an equal value: numbers by value, objects in any order of members; at most 4 KiB
   */
  metadata?: {
    [k: string]: unknown;
  };
  /**
   * only tasks created at or after this time, ISO 8601 with a time zone
   */
  createdAfter?: string;
  /**
   * only tasks created before this time
   */
  createdBefore?: string;
  /**
   * only tasks whose last change was at or after this time
   */
  updatedAfter?: string;
  /**
   * only tasks whose last change was before this time
   */
  updatedBefore?: string;
  /**
   * the maximum number of tasks to list; default 100, over MCP 20
   */
  limit?: number;
  /**
   * the number of tasks to skip; default 0
   */
  offset?: number;
  /**
   * the nextCursor of the page before, with the filters and the order of that page, and without offset
   */
  cursor?: string;
  /**
   * the field to order by; default createdAt; the task's number breaks ties
   */
  orderBy?: "createdAt" | "updatedAt" | "completedAt" | "priority" | "status";
  /**
   * the direction of the order; default desc
   */
  order?: "asc" | "desc";
}
/**
 * The result of task.list.
 */
export interface TaskListResult {
  tasks: null | Task[];
  /**
   * the matching tasks on all pages; with cursor, as counted for the first page
   */
  totalCount: number;
  hasMore: boolean;
  /**
   * left out on the last page, and for an order other than createdAt
   */
  nextCursor?: string;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of task.get.
 */
export interface TaskGetParams {
  /**
   * the task to read
   */
  id: string;
  /**
   * whether to add the states and results of the tasks that it depends on
   */
  dependencies?: boolean;
}
/**
 * The params of task.history.
 */
export interface TaskHistoryParams {
  /**
   * the task, which may be deleted
   */
  id: string;
  /**
   * default 100; a page with more than 16 MiB is shorter
   */
  limit?: number;
  /**
   * the nextCursor of the page before
   */
  cursor?: string;
  /**
   * asc (default): the oldest first
   */
  order?: "asc" | "desc";
}
/**
 * The result of task.history.
 */
export interface TaskHistoryResult {
  events:
    | null
    | {
        /**
         * its number; rises by one with each event of the log
         */
        seq: number;
        /**
         * the ID of its entry in the log: <ms>-<seq>
         */
        id: string;
        type: string;
        /**
         * the version of the payload
         */
        v: number;
        /**
         * ms since 1970
         */
        timestamp: number;
        /**
         * of the task, if the payload has it
         */
        attempt?: null | number;
        actor: string;
        /**
         * the request or event that caused it
         */
        cause?: null | string;
        /**
         * W3C traceparent
         */
        trace?: null | string;
        /**
         * docs/events.md describes it by type
         */
        payload: null | {
          [k: string]: unknown;
        };
      }[];
  /**
   * left out on the last page
   */
  nextCursor?: string;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of task.delete.
 */
export interface TaskDeleteParams {
  /**
   * the task to delete
   */
  id: string;
}
/**
 * The result of task.delete.
 */
export interface TaskDeleteResult {
  id: string;
  deleted: boolean;
  deletedAt: string;
}
/**
 * The params of queue.pause.
 */
export interface QueuePauseParams {
  /**
   * the roles that the tasks of the queue require, exactly these and in any order; an empty array for the tasks that require none; default: all queues
   *
   * @maxItems 64
   */
  roles?: string[];
  /**
   * why, for those who see the pause
   */
  reason?: string;
}
/**
 * The result of queue.pause.
 */
export interface QueuePauseResult {
  /**
   * false if the queue was paused already, or if there was no such pause
   */
  changed: boolean;
  /**
   * all pauses after the call; at most 64
   */
  pauses:
    | null
    | {
        /**
         * the roles that the tasks of the queue require; empty for the tasks that require none; null for all queues
         */
        roles: null | string[];
        /**
         * null if the caller gave none
         */
        reason: null | string;
        /**
         * the actor that paused the queue
         */
        by: string;
        /**
         * when it was paused
         */
        at: string;
      }[];
}
/**
 * The params of queue.resume.
 */
export interface QueueResumeParams {
  /**
   * as in the call of queue.pause; default: end the pause of all queues, but not those of single ones
   *
   * @maxItems 64
   */
  roles?: string[];
}
/**
 * The result of queue.resume.
 */
export interface QueueResumeResult {
  /**
   * false if the queue was paused already, or if there was no such pause
   */
  changed: boolean;
  /**
   * all pauses after the call; at most 64
   */
  pauses:
    | null
    | {
        /**
         * the roles that the tasks of the queue require; empty for the tasks that require none; null for all queues
         */
        roles: null | string[];
        /**
         * null if the caller gave none
         */
        reason: null | string;
        /**
         * the actor that paused the queue
         */
        by: string;
        /**
         * when it was paused
         */
        at: string;
      }[];
}
/**
 * The params of limit.set.
 */
export interface LimitSetParams {
  /**
   * the limitKey of tasks
   */
  key: string;
  /**
   * how many of them may be pending or in progress at once
   */
  concurrent: number;
}
/**
 * The result of limit.set.
 */
export interface LimitSetResult {
  key: string;
  concurrent: number;
}
/**
 * The params of limit.list.
 */
export interface LimitListParams {}
/**
 * The result of limit.list.
 */
export interface LimitListResult {
  limits:
    | null
    | {
        key: string;
        concurrent: number;
        /**
         * tasks that are pending or in progress
         */
        running: number;
        /**
         * tasks that wait for their turn
         */
        waiting: number;
      }[];
}
/**
 * The params of limit.delete.
 */
export interface LimitDeleteParams {
  /**
   * the limitKey of tasks
   */
  key: string;
}
/**
 * The result of limit.delete.
 */
export interface LimitDeleteResult {
  key: string;
  /**
   * whether there was such a limit
   */
  deleted: boolean;
}
/**
 * The params of schedule.put.
 */
export interface SchedulePutParams {
  /**
   * the schedule to make or to replace
   */
  id: string;
  /**
   * five fields: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly, or '@every 15m'
   */
  cron: string;
  /**
   * the task to create at each tick, at most 64 KiB
   */
  task: {
    /**
     * the work to do
     */
    text: string;
    /**
     * the highest is claimed first; default 50
     */
    priority?: number;
    /**
     * any members; the member roles, an array of strings, lists the roles that a worker must have
     */
    metadata?: {
      /**
       * the roles that a worker must have
       *
       * @maxItems 64
       */
      roles?: null | string[];
      [k: string]: unknown;
    };
    /**
     * when the task becomes claimable, ISO 8601 with a zone; default: at once
     */
    runAt?: string;
    /**
     * how long until then, in ms, instead of runAt
     */
    delayMs?: number;
    /**
     * how the task is tried again when it fails
     */
    retry?: {
      /**
       * the number of tries; default 1
       */
      maxAttempts?: number;
      /**
       * the pause after the first failure, in ms; default 1000
       */
      backoffMs?: number;
      /**
       * by how much each pause is longer than the one before; default 2
       */
      factor?: number;
      /**
       * the longest pause, in ms; default 3600000
       */
      maxBackoffMs?: number;
      /**
       * the part of the pause by which it varies at random; default 0.1
       */
      jitter?: number;
    };
    /**
     * how long the claimed task may go without a sign of life of its own (task.claim, task.progress), in ms; default: for ever
     */
    timeoutMs?: number;
    /**
     * tasks that must be completed before. They must exist, so there can be no cycle
     *
     * @minItems 1
     * @maxItems 100
     */
    dependsOn?: string[];
    /**
     * what happens if one of them fails for good, or is cancelled or deleted; default cancel
     */
    onDependencyFailure?: "cancel" | "run";
    /**
     * while an unfinished task has this key, the call returns that one, with created: false
     */
    uniqueKey?: string;
    /**
     * the key of a limit (limit.set); at most so many tasks of the key are pending or in progress at once
     */
    limitKey?: string;
  };
  /**
   * the time zone of the fields, by its name in the IANA database, such as Europe/Berlin; default UTC
   */
  timezone?: string;
  /**
   * whether the schedule has no ticks for now; default false
   */
  paused?: boolean;
  /**
   * what happens to ticks that no coordinator could fire in time: none skips them, one (default) makes one task for all of them, all makes one for each of the last 100
   */
  catchUp?: "none" | "one" | "all";
}
/**
 * The result of schedule.put.
 */
export interface SchedulePutResult {
  /**
   * whether the schedule is new
   */
  created: boolean;
  schedule: {
    id: string;
    cron: string;
    timezone: string;
    /**
     * params of task.create
     */
    task: null | {
      [k: string]: unknown;
    };
    paused: boolean;
    catchUp: string;
    /**
     * null while the schedule is paused
     */
    nextTick: null | string;
    /**
     * null before the first tick
     */
    lastTick: null | string;
    /**
     * the task that the last tick made, or null
     */
    lastTask: null | string;
    /**
     * why the last tick made no task, or null
     */
    lastError: null | {
      [k: string]: unknown;
    };
    /**
     * the number of ticks that made a task
     */
    fired: number;
    createdAt: string;
    /**
     * of the last schedule.put
     */
    updatedAt: string;
  };
}
/**
 * The params of schedule.get.
 */
export interface ScheduleGetParams {
  /**
   * the schedule to read
   */
  id: string;
}
/**
 * The result of schedule.get.
 */
export interface ScheduleGetResult {
  id: string;
  cron: string;
  timezone: string;
  /**
   * params of task.create
   */
  task: null | {
    [k: string]: unknown;
  };
  paused: boolean;
  catchUp: string;
  /**
   * null while the schedule is paused
   */
  nextTick: null | string;
  /**
   * null before the first tick
   */
  lastTick: null | string;
  /**
   * the task that the last tick made, or null
   */
  lastTask: null | string;
  /**
   * why the last tick made no task, or null
   */
  lastError: null | {
    [k: string]: unknown;
  };
  /**
   * the number of ticks that made a task
   */
  fired: number;
  createdAt: string;
  /**
   * of the last schedule.put
   */
  updatedAt: string;
}
/**
 * The params of schedule.list.
 */
export interface ScheduleListParams {
  /**
   * the maximum number of schedules; default 100; a page with more than 1 MiB is shorter
   */
  limit?: number;
  /**
   * the nextCursor of the page before
   */
  cursor?: string;
}
/**
 * The result of schedule.list.
 */
export interface ScheduleListResult {
  /**
   * in the order of the bytes of their ids
   */
  schedules:
    | null
    | {
        id: string;
        cron: string;
        timezone: string;
        /**
         * params of task.create
         */
        task: null | {
          [k: string]: unknown;
        };
        paused: boolean;
        catchUp: string;
        /**
         * null while the schedule is paused
         */
        nextTick: null | string;
        /**
         * null before the first tick
         */
        lastTick: null | string;
        /**
         * the task that the last tick made, or null
         */
        lastTask: null | string;
        /**
         * why the last tick made no task, or null
         */
        lastError: null | {
          [k: string]: unknown;
        };
        /**
         * the number of ticks that made a task
         */
        fired: number;
        createdAt: string;
        /**
         * of the last schedule.put
         */
        updatedAt: string;
      }[];
  /**
   * the number of schedules on all pages
   */
  total: number;
  /**
   * left out on the last page
   */
  nextCursor?: string;
}
/**
 * The params of schedule.delete.
 */
export interface ScheduleDeleteParams {
  /**
   * the schedule to delete
   */
  id: string;
}
/**
 * The result of schedule.delete.
 */
export interface ScheduleDeleteResult {
  id: string;
  deleted: boolean;
  deletedAt: string;
}
/**
 * The params of session.list.
 */
export interface SessionListParams {
  /**
   * only sessions whose last instance is this one
   */
  instanceId?: string;
  /**
   * only sessions that have not ended, or only those that have
   */
  active?: boolean;
  /**
   * default 50, over MCP 20
   */
  limit?: number;
  /**
   * the nextCursor of the page before
   */
  cursor?: string;
}
/**
 * The result of session.list.
 */
export interface SessionListResult {
  sessions:
    | null
    | {
        id: string;
        /**
         * the program that sent hooks, such as claude-code; null if none came
         */
        source: null | string;
        /**
         * the last instance that had the session
         */
        instanceId: null | string;
        startedAt: string;
        /**
         * the time of its last hook, todo or registration
         */
        lastActivityAt: string;
        /**
         * null while it is active
         */
        endedAt: null | string;
        /**
         * the number of its hooks, decisions, todo lists and registrations
         */
        events: number;
        /**
         * the number of prompts that the user submitted
         */
        prompts: number;
      }[];
  /**
   * left out on the last page
   */
  nextCursor?: string;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of session.get.
 */
export interface SessionGetParams {
  /**
   * the session to read
   */
  id: string;
}
/**
 * The result of session.get.
 */
export interface SessionGetResult {
  id: string;
  /**
   * the program that sent hooks, such as claude-code; null if none came
   */
  source: null | string;
  /**
   * the last instance that had the session
   */
  instanceId: null | string;
  startedAt: string;
  /**
   * the time of its last hook, todo or registration
   */
  lastActivityAt: string;
  /**
   * null while it is active
   */
  endedAt: null | string;
  /**
   * the number of its hooks, decisions, todo lists and registrations
   */
  events: number;
  /**
   * the number of prompts that the user submitted
   */
  prompts: number;
  decisions: {
    allow: number;
    ask: number;
    deny: number;
  };
  /**
   * in the order of their first use
   */
  tools:
    | null
    | {
        name: string;
        requested: number;
        /**
         * including failed ones
         */
        finished: number;
        failed: number;
        denied: number;
        totalMs: number;
        maxMs: number;
      }[];
  /**
   * the last list, each with id, text and status
   */
  todos: null | unknown[];
  tasks: {
    claimed: number;
    completed: number;
    failed: number;
    /**
     * the last claimed first, at most 100
     */
    recent:
      | null
      | {
          id: string;
          status: string;
          attempt: number;
          claimedAt: string;
          completedAt: null | string;
          durationMs: null | number;
        }[];
  };
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of instance.history.
 */
export interface InstanceHistoryParams {
  /**
   * the instance, which may have left
   */
  id: string;
  /**
   * default 100; a page with more than 16 MiB is shorter
   */
  limit?: number;
  /**
   * the nextCursor of the page before
   */
  cursor?: string;
  /**
   * asc (default): the oldest first
   */
  order?: "asc" | "desc";
}
/**
 * The result of instance.history.
 */
export interface InstanceHistoryResult {
  events:
    | null
    | {
        /**
         * its number; rises by one with each event of the log
         */
        seq: number;
        /**
         * the ID of its entry in the log: <ms>-<seq>
         */
        id: string;
        type: string;
        /**
         * the version of the payload
         */
        v: number;
        /**
         * ms since 1970
         */
        timestamp: number;
        /**
         * of the task, if the payload has it
         */
        attempt?: null | number;
        actor: string;
        /**
         * the request or event that caused it
         */
        cause?: null | string;
        /**
         * W3C traceparent
         */
        trace?: null | string;
        /**
         * docs/events.md describes it by type
         */
        payload: null | {
          [k: string]: unknown;
        };
      }[];
  /**
   * left out on the last page
   */
  nextCursor?: string;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of event.get.
 */
export interface EventGetParams {
  /**
   * the event's number in the log
   */
  seq: number;
}
/**
 * The result of event.get.
 */
export interface EventGetResult {
  id: string;
  seq: number;
  type: string;
  v: number;
  /**
   * ms since 1970
   */
  timestamp: number;
  actor: string;
  cause: null | string;
  trace: null | string;
  payload: null | {
    [k: string]: unknown;
  };
}
/**
 * The params of event.list.
 */
export interface EventListParams {
  /**
   * types and patterns, separated by commas: instance.*,quorum.voted; none of task.* and hook.*; default all events
   */
  types?: string;
  /**
   * only events at or after this time, ISO 8601
   */
  since?: string;
  /**
   * default 100; a page with more than 16 MiB is shorter
   */
  limit?: number;
  /**
   * the nextCursor of the page before
   */
  cursor?: string;
  /**
   * desc (default): the newest first
   */
  order?: "asc" | "desc";
}
/**
 * The result of event.list.
 */
export interface EventListResult {
  events:
    | null
    | {
        /**
         * its number; rises by one with each event of the log
         */
        seq: number;
        /**
         * the ID of its entry in the log: <ms>-<seq>
         */
        id: string;
        type: string;
        /**
         * the version of the payload
         */
        v: number;
        /**
         * ms since 1970
         */
        timestamp: number;
        /**
         * of the task, if the payload has it
         */
        attempt?: null | number;
        actor: string;
        /**
         * the request or event that caused it
         */
        cause?: null | string;
        /**
         * W3C traceparent
         */
        trace?: null | string;
        /**
         * docs/events.md describes it by type
         */
        payload: null | {
          [k: string]: unknown;
        };
      }[];
  /**
   * left out on the last page
   */
  nextCursor?: string;
  behind?: null | {
    /**
     * the maximum number of events that the result lacks
     */
    events: number;
    /**
     * the age of the oldest of these events, in ms
     */
    ms: number;
  };
}
/**
 * The params of hook.record.
 */
export interface HookRecordParams {
  /**
   * the hook's body as Claude Code sends it
   */
  hook: {
    [k: string]: unknown;
  };
}
/**
 * The result of hook.record.
 */
export interface HookRecordResult {
  /**
   * the ID of the hook's event in the log
   */
  eventId: string;
}
/**
 * The params of audit.verify.
 */
export interface AuditVerifyParams {}
/**
 * The result of audit.verify.
 */
export interface AuditVerifyResult {
  /**
   * false if a verification was already running
   */
  started: boolean;
  running: {
    startedAt: string;
    /**
     * the token's name, or anonymous
     */
    startedBy: string;
    /**
     * the coordinator that runs it
     */
    coordinator: string;
    /**
     * what it does now, in words; empty at the beginning
     */
    doing: string;
    /**
     * events that it has read so far
     */
    events: number;
    /**
     * events in the log when it began; 0 until it has counted them
     */
    total: number;
  };
}
/**
 * The params of audit.status.
 */
export interface AuditStatusParams {}
/**
 * The result of audit.status.
 */
export interface AuditStatusResult {
  log: {
    /**
     * absent until a coordinator has stored one
     */
    identity?: string;
    /**
     * seq of the first event that the log should hold; higher than 1 after a flush or a trim
     */
    base: number;
    /**
     * 0 if the log is empty
     */
    firstSeq: number;
    firstId?: string;
    /**
     * seq of the last event
     */
    lastSeq: number;
    lastId?: string;
    /**
     * entries in the log
     */
    events: number;
  };
  /**
   * events that the log does not have: those before its first one, and those that the last verification missed
   */
  gaps:
    | null
    | {
        from: number;
        to: number;
        /**
         * flushed: system.flush removed them; trimmed: an operator removed them; missing: nothing explains it
         */
        reason: string;
      }[];
  /**
   * absent if none runs
   */
  running?: null | {
    startedAt: string;
    /**
     * the token's name, or anonymous
     */
    startedBy: string;
    /**
     * the coordinator that runs it
     */
    coordinator: string;
    /**
     * what it does now, in words; empty at the beginning
     */
    doing: string;
    /**
     * events that it has read so far
     */
    events: number;
    /**
     * events in the log when it began; 0 until it has counted them
     */
    total: number;
  };
  /**
   * the last one that ended; absent if there was none
   */
  last?: null | {
    startedAt: string;
    finishedAt: string;
    startedBy: string;
    coordinator: string;
    /**
     * everything was compared, and agrees
     */
    ok: boolean;
    /**
     * seq of the first event that it read
     */
    base: number;
    /**
     * seq of the last event that it read
     */
    lastSeq: number;
    /**
     * events that it read
     */
    events: number;
    /**
     * tasks in Redis that it compared
     */
    tasks: number;
    /**
     * instances that it compared
     */
    instances: number;
    /**
     * rows of tasks in Postgres that it compared
     */
    rows: number;
    /**
     * whether the views in Postgres were compared
     */
    postgres: boolean;
    /**
     * what does not agree with the log, a sentence each; at most 100
     */
    damages: null | string[];
    /**
     * the number of all damages
     */
    damagesTotal: number;
    /**
     * missing events that nothing explains; at most 100
     */
    gaps:
      | null
      | {
          from: number;
          to: number;
          /**
           * flushed: system.flush removed them; trimmed: an operator removed them; missing: nothing explains it
           */
          reason: string;
        }[];
    /**
     * what could not be compared, and why
     */
    notes: null | string[];
    /**
     * why it ended early; it then proves nothing either way. It begins with interrupted if its coordinator ended
     */
    error?: string;
  };
}
/**
 * The params of audit.diff.
 */
export interface AuditDiffParams {
  /**
   * a position in the log: an event's ID, its seq, a time (RFC 3339) or ms since 1970; 0 is before the first event
   */
  from: string;
  /**
   * a later position; default the end of the log
   */
  to?: string;
  /**
   * maximum number of changes of each list; default 200
   */
  limit?: number;
}
/**
 * The result of audit.diff.
 */
export interface AuditDiffResult {
  from: {
    /**
     * the last event up to that moment; absent before the first one
     */
    id?: string;
    /**
     * its seq; 0 before the first one
     */
    seq: number;
    /**
     * its time, by Redis's clock
     */
    time?: string;
  };
  to: {
    /**
     * the last event up to that moment; absent before the first one
     */
    id?: string;
    /**
     * its seq; 0 before the first one
     */
    seq: number;
    /**
     * its time, by Redis's clock
     */
    time?: string;
  };
  /**
   * events between them
   */
  events: number;
  /**
   * these events by type
   */
  types: {
    [k: string]: number;
  };
  /**
   * the numbers of tasks that changed, by status
   */
  statuses:
    | null
    | {
        status: string;
        before: number;
        after: number;
      }[];
  /**
   * those that existed before first, by number. A task that was created and deleted between them is left out
   */
  tasks:
    | null
    | {
        id: string;
        /**
         * created, deleted, flushed, or the names of the members that differ
         */
        changed: null | string[];
        /**
         * absent if it did not exist
         */
        before?: null | {
          id: string;
          /**
           * at most 200 characters of it
           */
          text: string;
          status: string;
          /**
           * -1 if the log does not have it
           */
          priority: number;
          /**
           * its owner, or its last one if it is finished
           */
          assignedTo?: string;
          /**
           * -1 if the log does not have it
           */
          attempt: number;
          /**
           * the roles that it requires; absent for none
           */
          roles?: unknown;
          /**
           * the kind of queue; absent if it is finished
           */
          place?: string;
          /**
           * when it was claimed, if it is in progress; when it ended, if it is finished; else when it was queued
           */
          since?: string;
          /**
           * of a scheduled task
           */
          runAt?: string;
          /**
           * when it is taken from its owner
           */
          deadline?: string;
          limitKey?: string;
          failures?: number;
          losses?: number;
        };
        /**
         * absent if it does not exist any more
         */
        after?: null | {
          id: string;
          /**
           * at most 200 characters of it
           */
          text: string;
          status: string;
          /**
           * -1 if the log does not have it
           */
          priority: number;
          /**
           * its owner, or its last one if it is finished
           */
          assignedTo?: string;
          /**
           * -1 if the log does not have it
           */
          attempt: number;
          /**
           * the roles that it requires; absent for none
           */
          roles?: unknown;
          /**
           * the kind of queue; absent if it is finished
           */
          place?: string;
          /**
           * when it was claimed, if it is in progress; when it ended, if it is finished; else when it was queued
           */
          since?: string;
          /**
           * of a scheduled task
           */
          runAt?: string;
          /**
           * when it is taken from its owner
           */
          deadline?: string;
          limitKey?: string;
          failures?: number;
          losses?: number;
        };
      }[];
  instances:
    | null
    | {
        id: string;
        /**
         * registered, left, or the names of the members that differ
         */
        changed: null | string[];
        before?: null | {
          id: string;
          /**
           * array of strings
           */
          roles: unknown;
          /**
           * ACTIVE, IDLE or BUSY; empty if the log does not have it
           */
          status: string;
          sessionId?: string;
          registeredAt?: string;
          isLeader: boolean;
          /**
           * tasks that it had claimed
           */
          inProgress: number;
          /**
           * tasks that were assigned to it and not claimed
           */
          assigned: number;
        };
        after?: null | {
          id: string;
          /**
           * array of strings
           */
          roles: unknown;
          /**
           * ACTIVE, IDLE or BUSY; empty if the log does not have it
           */
          status: string;
          sessionId?: string;
          registeredAt?: string;
          isLeader: boolean;
          /**
           * tasks that it had claimed
           */
          inProgress: number;
          /**
           * tasks that were assigned to it and not claimed
           */
          assigned: number;
        };
      }[];
  /**
   * the leader, pauses, limits and schedules
   */
  others:
    | null
    | {
        /**
         * leader, pause, limit or schedule
         */
        kind: string;
        /**
         * of the queue, the limit or the schedule; empty for the leader
         */
        name: string;
        /**
         * empty if there was none
         */
        before: string;
        /**
         * empty if there is none
         */
        after: string;
      }[];
  totals: {
    /**
     * tasks that were created between the moments
     */
    created: number;
    /**
     * other tasks that changed
     */
    tasks: number;
    instances: number;
    others: number;
  };
  notes?: null | string[];
}
/**
 * The params of rpc.discover.
 */
export interface RpcDiscoverParams {}
/**
 * The result of rpc.discover.
 */
export interface RpcDiscoverResult {
  [k: string]: unknown;
}

/** How the methods are called. */
export interface Caller {
  call<R>(method: string, params: object, timeoutMs: number): Promise<R>;
}

/** The methods of the API. */
export abstract class Methods implements Caller {
  abstract call<R>(method: string, params: object, timeoutMs: number): Promise<R>;

  /** Register an instance, for the first time or again. If no leader is alive, it becomes the leader; waiting tasks are assigned to a worker. Without a sign of life for ttlMs the registration expires: send heartbeats, or call other methods in the instance's name. */
  systemRegister(params: SystemRegisterParams): Promise<SystemRegisterResult> {
    return this.call("system.register", params, 5000);
  }

  /** Renew an instance's registration, and its leadership. alive is false if it is not registered or its registration has expired. Then register again, with the same sessionId to keep the tasks that it still has. */
  systemHeartbeat(params: SystemHeartbeatParams): Promise<SystemHeartbeatResult> {
    return this.call("system.heartbeat", params, 2000);
  }

  /** Unregister an instance. Its tasks, also those it has claimed, return to the queue and to live workers. */
  systemUnregister(params: SystemUnregisterParams): Promise<SystemUnregisterResult> {
    return this.call("system.unregister", params, 5000);
  }

  /** Report whether Redis takes commands, whether Postgres and MCP answer, and whether instances have failed. It returns within about a second even if they are unavailable. */
  systemHealth(params: SystemHealthParams = {}): Promise<SystemHealthResult> {
    return this.call("system.health", params, 3000);
  }

  /** Declare instances dead that have been silent for too long, and return their tasks to live workers or to the queue. Lists at most 1,000 healthy ones. */
  systemCheckHealth(params: SystemCheckHealthParams = {}): Promise<SystemCheckHealthResult> {
    return this.call("system.check_health", params, 5000);
  }

  /** Measure the system: events and tasks counted from the log, the current queues, and the memory and the calls (since its start) of the coordinator that replies. */
  systemMetrics(params: SystemMetricsParams = {}): Promise<SystemMetricsResult> {
    return this.call("system.metrics", params, 3000);
  }

  /** Read a snapshot of one moment: up to 200 open tasks, up to 200 live instances, and the last 100 events, at most about half a megabyte each. Over MCP without a limit, ten of each, and at most about 5 kB. Empty lists are left out. */
  systemGetState(params: SystemGetStateParams = {}): Promise<SystemGetStateResult> {
    return this.call("system.get_state", params, 30000);
  }

  /** Describe the coordinator and its stores, and what the caller may do: versions, roles, and settings of the stores that can lose data. It returns within about a second even if Redis or Postgres is unavailable. */
  systemInfo(params: SystemInfoParams = {}): Promise<SystemInfoResult> {
    return this.call("system.info", params, 3000);
  }

  /** List up to 200 readers of the log and its topics with their position and lag: the projections, services with a checkpoint in Redis, and consumer groups. Also count the parked events. */
  systemSubscribers(params: SystemSubscribersParams = {}): Promise<SystemSubscribersResult> {
    return this.call("system.subscribers", params, 3000);
  }

  /** Create a task for each item, exactly once. While another instance processes the batch, processed is false, and the result has that instance's id and its progress. To continue a batch that was left, or to see whether it is finished, repeat the call. A batch is known for 7 days after its last step. */
  systemBatchProcess(params: SystemBatchProcessParams): Promise<SystemBatchProcessResult> {
    return this.call("system.batch.process", params, 30000);
  }

  /** Vote on a decision. A vote is final. The decision is made when more than half of totalInstances have voted for one value; voted is false if the instance has voted before, or the voting has ended. A decision is known for 7 days after its last vote. */
  systemQuorumVote(params: SystemQuorumVoteParams): Promise<SystemQuorumVoteResult> {
    return this.call("system.quorum.vote", params, 5000);
  }

  /** List the methods, with the JSON Schemas of their params and results and the limits in force. */
  systemDiscover(params: SystemDiscoverParams = {}): Promise<SystemDiscoverResult> {
    return this.call("system.discover", params, 5000);
  }

  /** DANGER: delete all data of ClaudeBench in Redis, and the task rows in Postgres unless includePostgres is false. It cannot be undone. While it runs, other commands fail with a conflict. At most once a minute for all callers together. */
  systemFlush(params: SystemFlushParams): Promise<SystemFlushResult> {
    return this.call("system.flush", params, 600000);
  }

  /** Create a task. It waits in a queue until it is claimed or assigned, the highest priority first. */
  taskCreate(params: TaskCreateParams): Promise<Task> {
    return this.call("task.create", params, 5000);
  }

  /** Create up to 1,000 tasks. Each has its own answer and counts as a call of task.create; one that is rejected does not stop the others. To repeat a call safely, give each task an idempotencyKey. */
  taskCreateMany(params: TaskCreateManyParams): Promise<TaskCreateManyResult> {
    return this.call("task.create_many", params, 15000);
  }

  /** Change a task's text, priority, metadata (merged) or status. The status of a finished task does not change. */
  taskUpdate(params: TaskUpdateParams): Promise<Task> {
    return this.call("task.update", params, 5000);
  }

  /** Assign a waiting task to an instance that has the required roles. It stays there until it is claimed or unassigned. */
  taskAssign(params: TaskAssignParams): Promise<TaskAssignResult> {
    return this.call("task.assign", params, 5000);
  }

  /** Take a task from its owner, claimed or not, and return it to its queue with its priority and position. */
  taskUnassign(params: TaskUnassignParams): Promise<TaskUnassignResult> {
    return this.call("task.unassign", params, 5000);
  }

  /** Take tasks to work on: those assigned to it first, then the best ones. waitMs waits for one. Pass the attempt of each task to task.complete; it proves the ownership. */
  taskClaim(params: TaskClaimParams): Promise<TaskClaimResult> {
    return this.call("task.claim", params, 5000 + (params.waitMs ?? 0));
  }

  /** Finish a task that has an owner: as failed if there is an error, else as completed. */
  taskComplete(params: TaskCompleteParams = {}): Promise<TaskCompleteResult> {
    return this.call("task.complete", params, 5000);
  }

  /** Finish up to 1,000 tasks. Each has its own answer and counts as a call of task.complete; one that is rejected does not stop the others. To repeat a call safely, give each item an idempotencyKey. */
  taskCompleteMany(params: TaskCompleteManyParams): Promise<TaskCompleteManyResult> {
    return this.call("task.complete_many", params, 15000);
  }

  /** Say how far a claimed task is. The call is a sign of life: it renews the worker's registration and begins the task's time limit anew. Its answer says whether the task was called off. */
  taskProgress(params: TaskProgressParams): Promise<TaskProgressResult> {
    return this.call("task.progress", params, 5000);
  }

  /** Call a task off. One that is not claimed is cancelled at once; the worker of a claimed one is told, and has graceMs to end it. */
  taskCancel(params: TaskCancelParams): Promise<TaskCancelResult> {
    return this.call("task.cancel", params, 5000);
  }

  /** Try a failed or cancelled task again from the beginning: its failures start from none, its attempt goes on rising. What was cancelled because of it stays cancelled. */
  taskRetry(params: TaskRetryParams = {}): Promise<TaskRetryResult> {
    return this.call("task.retry", params, 5000);
  }

  /** Call off all tasks that match a filter, as task.cancel does. The call works in steps, and may be repeated: it goes on with what is left. */
  taskCancelMany(params: TaskCancelManyParams): Promise<TaskCancelManyResult> {
    return this.call("task.cancel_many", params, 30000);
  }

  /** Try all failed or cancelled tasks that match a filter again, as task.retry does. The call works in steps, and may be repeated. */
  taskRetryMany(params: TaskRetryManyParams): Promise<TaskRetryManyResult> {
    return this.call("task.retry_many", params, 30000);
  }

  /** Delete all tasks that match a filter, as task.delete does. The call works in steps, and may be repeated. */
  taskDeleteMany(params: TaskDeleteManyParams): Promise<TaskDeleteManyResult> {
    return this.call("task.delete_many", params, 30000);
  }

  /** List tasks from the view in Postgres; behind is set if it lags behind the log. Pages by offset may overlap while tasks change; those by cursor do not. Two lists of a caller run at once; more wait up to three seconds. */
  taskList(params: TaskListParams = {}): Promise<TaskListResult> {
    return this.call("task.list", params, 10000);
  }

  /** Read the current state of a task. Finished tasks are kept for a week by default; task.list keeps them for longer. */
  taskGet(params: TaskGetParams): Promise<Task> {
    return this.call("task.get", params, 5000);
  }

  /** List the events of a task, with actor and cause, from the index in Postgres: also of a deleted task, and after its events were trimmed from the log. A task without events has an empty list. */
  taskHistory(params: TaskHistoryParams): Promise<TaskHistoryResult> {
    return this.call("task.history", params, 10000);
  }

  /** Delete a task, whatever its status. Its worker learns of it when it completes the task. */
  taskDelete(params: TaskDeleteParams): Promise<TaskDeleteResult> {
    return this.call("task.delete", params, 5000);
  }

  /** Pause a queue, or all queues: nothing is claimed or auto-assigned from it until queue.resume. Claimed tasks go on. A queue that is paused already keeps its pause. */
  queuePause(params: QueuePauseParams = {}): Promise<QueuePauseResult> {
    return this.call("queue.pause", params, 5000);
  }

  /** End the pause of a queue, or that of all queues. Calls of task.claim that wait get its tasks at once. The result lists the pauses that are left. */
  queueResume(params: QueueResumeParams = {}): Promise<QueueResumeResult> {
    return this.call("queue.resume", params, 5000);
  }

  /** Set how many tasks with a limitKey may be pending or in progress at once. The others are blocked, and the best of them goes on when one ends. A change takes effect at once for what is not claimed. */
  limitSet(params: LimitSetParams): Promise<LimitSetResult> {
    return this.call("limit.set", params, 5000);
  }

  /** List the limits of concurrent tasks, and how many tasks run and wait under each. */
  limitList(params: LimitListParams = {}): Promise<LimitListResult> {
    return this.call("limit.list", params, 5000);
  }

  /** Delete a limit. The tasks of its key go on. */
  limitDelete(params: LimitDeleteParams): Promise<LimitDeleteResult> {
    return this.call("limit.delete", params, 5000);
  }

  /** Make a schedule, or replace the one with this id. At each tick of the cron expression, one of the coordinators creates the task, exactly once. A schedule that keeps its cron and timezone keeps its next tick. A fleet has at most 10,000 schedules, and a flush deletes them. */
  schedulePut(params: SchedulePutParams): Promise<SchedulePutResult> {
    return this.call("schedule.put", params, 5000);
  }

  /** Read a schedule: its next tick, its last one, and the task that it made. */
  scheduleGet(params: ScheduleGetParams): Promise<ScheduleGetResult> {
    return this.call("schedule.get", params, 5000);
  }

  /** List the schedules, in the order of their ids. The list comes from Redis and has every schedule that was put before the call. */
  scheduleList(params: ScheduleListParams = {}): Promise<ScheduleListResult> {
    return this.call("schedule.list", params, 5000);
  }

  /** Delete a schedule. The tasks that it has made stay. */
  scheduleDelete(params: ScheduleDeleteParams): Promise<ScheduleDeleteResult> {
    return this.call("schedule.delete", params, 5000);
  }

  /** List sessions of agents, the newest activity first. session.get reads one. */
  sessionList(params: SessionListParams = {}): Promise<SessionListResult> {
    return this.call("session.list", params, 10000);
  }

  /** Read a session of an agent: its instance, prompts, tools, todos and tasks. A session is known from its first hook, or from the registration of an instance with its sessionId. */
  sessionGet(params: SessionGetParams): Promise<SessionGetResult> {
    return this.call("session.get", params, 10000);
  }

  /** List the events that concern an instance, with actor and cause, from the index in Postgres: its registrations, what became of the tasks that it had, its batches, votes and hooks, and how it left. An instance without events has an empty list. */
  instanceHistory(params: InstanceHistoryParams): Promise<InstanceHistoryResult> {
    return this.call("instance.history", params, 10000);
  }

  /** Read an event of the log by its seq. */
  eventGet(params: EventGetParams): Promise<EventGetResult> {
    return this.call("event.get", params, 5000);
  }

  /** List events from the index in Postgres, the newest first: all, or those of some types, such as instance.*, leader.elected, batch.* and quorum.*. Events of tasks and hooks have no index by type; use task.history, instance.history or GET /events for them. */
  eventList(params: EventListParams = {}): Promise<EventListResult> {
    return this.call("event.list", params, 10000);
  }

  /** Record a hook of Claude Code as an event. Claude Code itself sends its hooks to POST /hooks/claude-code. --hook-content says how much of the inputs and results is stored. */
  hookRecord(params: HookRecordParams): Promise<HookRecordResult> {
    return this.call("hook.record", params, 100);
  }

  /** Begin to verify in the background that everything stored agrees with the log, as `claudebench verify` does. At most one verification runs in a fleet; if one runs, the result describes it. audit.status has the progress and the result. */
  auditVerify(params: AuditVerifyParams = {}): Promise<AuditVerifyResult> {
    return this.call("audit.verify", params, 5000);
  }

  /** Read what the log holds and which events it does not have, and how far a verification is, or what the last one found. It costs the same however long the log is. */
  auditStatus(params: AuditStatusParams = {}): Promise<AuditStatusResult> {
    return this.call("audit.status", params, 3000);
  }

  /** Read what changed between two moments of the log: up to 200 tasks, instances and others each, and the totals. The coordinator folds the log for it, one call at a time, for at most 30 seconds and in at most about 128 MiB. */
  auditDiff(params: AuditDiffParams): Promise<AuditDiffResult> {
    return this.call("audit.diff", params, 30000);
  }

  /** Describe the API: this OpenRPC document. */
  rpcDiscover(params: RpcDiscoverParams = {}): Promise<RpcDiscoverResult> {
    return this.call("rpc.discover", params, 5000);
  }
}
