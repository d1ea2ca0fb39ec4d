import { answerAlone, collectReads } from '../../shared/collected-reads.js'
import type { SqlStatement, WaitingRow } from './driver.js'
import { isPgRefusal, isStale } from './pg-errors.js'
import type { PgClient } from './pg-pool.js'

/** Used methods of the protocol connection of a `pg` client. */
interface PgConnection {
  /** The texts of the prepared statements of this connection, by name. The client adds and removes entries. */
  readonly parsedStatements: Record<string, string | undefined>
  readonly submittedNamedStatements: Record<string, string | undefined>
  readonly stream: { cork(): void; uncork(): void }
  parse(statement: { name: string; text: string }): void
  bind(values: { statement: string; values: readonly unknown[]; valueMapper: (value: unknown) => string | null }): void
  execute(): void
  sync(): void
}

/** Maximum number of reads in one round trip. More of them are spread over several connections. */
const MAX_READS = 32
const METHODS = ['parse', 'bind', 'execute', 'sync'] as const

/** Runs work on a connection of the pool with a time limit. */
export type WithClient = <T>(work: (client: PgClient) => Promise<T>) => Promise<T>

/**
 * Returns the `get` of a statement. Simultaneous reads share a round trip. If the server refuses one of them, the
 * others run again with `readAlone`. Without a name, the statement is parsed for each round trip.
 */
export function pipelineReads (
  withClient: WithClient,
  { text, name = '' }: { text: string; name: string | undefined },
  readAlone: SqlStatement['get']
): SqlStatement['get'] {
  let isPossible = true // until a client of the pool is of another kind

  async function send (reads: readonly WaitingRow[]): Promise<void> {
    const batch = new PgReads(name, text, reads)
    try {
      if (isPossible) {
        await withClient(async (client) => {
          isPossible = acceptsReads(client)
          if (isPossible) await batch.runOn(client)
        })
      }
    } catch (error) {
      if (!isPgRefusal(error)) throw error
      if (!isStale(error)) batch.rejectNext(error)
    }
    answerAlone(batch.unanswered, readAlone)
  }

  return collectReads(send, MAX_READS)
}

/** Returns true for clients of the package `pg`, but not for native ones, wrappers and those in pipeline mode. */
function acceptsReads (client: PgClient): boolean {
  const { connection, pipeline } = client as { connection?: Partial<PgConnection>; pipeline?: unknown }
  return (
    pipeline !== true &&
    typeof connection === 'object' &&
    METHODS.every((method) => typeof connection[method] === 'function') &&
    typeof connection.parsedStatements === 'object' &&
    typeof connection.submittedNamedStatements === 'object' &&
    typeof connection.stream?.cork === 'function'
  )
}

/**
 * Executions of one prepared statement that share a round trip: the server receives all of them before it answers the
 * first one. The client calls the methods, as it does for its own queries. Rows are arrays of the server's text.
 */
class PgReads {
  readonly name: string
  readonly text: string
  /** The client replaces this function to apply its own time limit. */
  callback: (error?: unknown) => void = () => {}
  readonly #reads: readonly WaitingRow[]
  #answered = 0
  #row: readonly unknown[] | undefined

  constructor (name: string, text: string, reads: readonly WaitingRow[]) {
    this.name = name
    this.text = text
    this.#reads = reads
  }

  get unanswered (): readonly WaitingRow[] {
    return this.#reads.slice(this.#answered)
  }

  runOn (client: PgClient): Promise<void> {
    return new Promise((resolve, reject) => {
      this.callback = (error) => {
        if (error instanceof Error) reject(error)
        else resolve()
      }
      client.query(this as never) // the type of the method has only the plain queries of this package
    })
  }

  /** Rejects the read that the server has refused. It did not run the later ones. */
  rejectNext (error: unknown): void {
    this.#reads[this.#answered++]?.reject(error)
  }

  submit (connection: PgConnection): null {
    const { name, text } = this
    connection.stream.cork()
    try {
      if ((connection.parsedStatements[name] ?? connection.submittedNamedStatements[name]) === undefined) {
        connection.parse({ name, text })
        if (name !== '') connection.submittedNamedStatements[name] = text
      }
      for (const { key: parameters } of this.#reads) {
        connection.bind({ statement: name, values: parameters, valueMapper: toText })
        connection.execute()
      }
      connection.sync()
    } finally {
      connection.stream.uncork()
    }
    return null
  }

  handleDataRow ({ fields }: { fields: readonly unknown[] }): void {
    this.#row ??= fields
  }

  handleCommandComplete (): void {
    this.#reads[this.#answered++]?.resolve(this.#row)
    this.#row = undefined
  }

  handleReadyForQuery (): void {
    this.callback()
  }

  handleError (error: unknown): void {
    this.callback(error)
  }
}

function toText (value: unknown): string | null {
  return value === null ? null : String(value)
}
