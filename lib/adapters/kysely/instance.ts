/** A query as Kysely runs it: a raw one. */
export interface KyselyQuery {
  readonly sql: string
  readonly parameters: readonly unknown[]
  readonly query: {
    readonly kind: 'RawNode'
    readonly sqlFragments: readonly string[]
    readonly parameters: readonly never[]
  }
  readonly queryId: { readonly queryId: string }
}

/** What is used of a result of Kysely. */
export interface KyselyResult {
  readonly rows: unknown[]
  readonly numAffectedRows?: bigint
  readonly insertId?: bigint
}

/** What is used of Kysely's expression builder. */
export interface KyselyExpressions {
  val(value: number): { as(name: string): object }
}

/** What is used of a `Kysely` instance, so that its types are needed by nobody who does not use it. */
export interface KyselyInstance {
  readonly isTransaction: boolean
  withoutPlugins(): KyselyInstance
  executeQuery(query: KyselyQuery): Promise<KyselyResult>
  connection(): { execute<T>(work: (connection: KyselyInstance) => Promise<T>): Promise<T> }
  transaction(): { execute<T>(work: (transaction: KyselyInstance) => Promise<T>): Promise<T> }
  selectNoFrom(selection: (expressions: KyselyExpressions) => object): { compile(): { readonly sql: string } }
}
