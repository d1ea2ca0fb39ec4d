/** A raw query of Kysely. */
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

/** The properties used of a Kysely result. */
export interface KyselyResult {
  readonly rows: unknown[]
  readonly numAffectedRows?: bigint
  readonly insertId?: bigint
}

/** The method used of Kysely's expression builder. */
export interface KyselyExpressions {
  val(value: number): { as(name: string): object }
}

/**
 * Used methods of a `Kysely` instance. Declared here, so that applications without Kysely do not need its types.
 */
export interface KyselyInstance {
  readonly isTransaction: boolean
  withoutPlugins(): KyselyInstance
  executeQuery(query: KyselyQuery): Promise<KyselyResult>
  connection(): { execute<T>(work: (connection: KyselyInstance) => Promise<T>): Promise<T> }
  transaction(): { execute<T>(work: (transaction: KyselyInstance) => Promise<T>): Promise<T> }
  selectNoFrom(selection: (expressions: KyselyExpressions) => object): { compile(): { readonly sql: string } }
}
