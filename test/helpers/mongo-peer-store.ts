import { isDeepStrictEqual } from 'node:util'
import { BSON, type Document } from 'mongodb'
import { compare, matches, type PeerCollation, PeerRefusal, valuesAt } from './mongo-peer-query.js'

// The documents of the wire peer and the commands that the adapter sends. Other commands are refused.

/** An error that the peer sends as a reply. */
export class PeerError extends Error {
  constructor (readonly answer: Document) {
    super(String(answer['errmsg']))
  }
}

/** Documents and indexes of one collection. */
export interface PeerCollection {
  documents: Document[]
  indexes: Document[]
  options: Document
}

const COMMON = [
  '$db',
  '$clusterTime',
  '$readPreference',
  'lsid',
  'txnNumber',
  'maxTimeMS',
  'comment',
  'readConcern',
  'writeConcern'
]
const STATEMENT = ['q', 'u', 'multi', 'upsert', 'collation', 'arrayFilters', 'limit']
const FIELDS: Record<string, string[]> = {
  find: ['filter', 'projection', 'sort', 'limit', 'batchSize', 'singleBatch', 'collation'],
  aggregate: ['pipeline', 'cursor', 'collation'],
  insert: ['documents', 'ordered'],
  update: ['updates', 'ordered'],
  delete: ['deletes', 'ordered'],
  findAndModify: ['query', 'update', 'upsert', 'new', 'remove', 'collation'],
  listIndexes: ['cursor'],
  createIndexes: ['indexes'],
  dropIndexes: ['index'],
  listCollections: ['filter', 'cursor'],
  create: ['validator', 'validationAction', 'validationLevel']
}

function checkFields (body: Document, known: string[]): void {
  const unknown = Object.keys(body).find((field) => !known.includes(field))
  if (unknown !== undefined) {
    throw new PeerError({ ok: 0, code: 40415, errmsg: `BSON field '${unknown}' is an unknown field.` })
  }
}

/** The collections of one database. */
export class PeerStore {
  readonly collections = new Map<string, PeerCollection>()

  /** Returns a collection. Creates it if it is missing. */
  collection (name: string): PeerCollection {
    const found = this.collections.get(name) ?? {
      documents: [],
      indexes: [{ v: 2, key: { _id: 1 }, name: '_id_' }],
      options: {}
    }
    this.collections.set(name, found)
    return found
  }

  /** Executes a command and returns its reply. Like a server, it refuses unknown fields. */
  run (name: string, body: Document): Document {
    const target = String(body[name])
    checkFields(body, [name, ...COMMON, ...(FIELDS[name] ?? [])])
    for (const one of [...((body['updates'] ?? []) as Document[]), ...((body['deletes'] ?? []) as Document[])]) {
      checkFields(one, STATEMENT)
    }
    switch (name) {
      case 'find':
        return cursor(target, this.#find(target, body))
      case 'aggregate':
        return cursor(target, this.#aggregate(target, body))
      case 'insert':
        return this.#eachWrite(body['documents'] as Document[], (document) => {
          this.#put(target, [], document)
          return 1
        })
      case 'update':
        return this.#eachWrite(body['updates'] as Document[], (one) => this.#update(target, one))
      case 'delete':
        return this.#eachWrite(body['deletes'] as Document[], (one) => this.#delete(target, one))
      case 'findAndModify':
        return this.#findAndModify(target, body)
      case 'listIndexes':
        return this.#listIndexes(target)
      case 'createIndexes':
        return this.#createIndexes(target, body['indexes'] as Document[])
      case 'dropIndexes':
        return this.#dropIndex(target, String(body['index']))
      case 'listCollections':
        return this.#listCollections(body['filter'] as Document)
      case 'create':
        return this.#create(target, body)
      default:
        throw new PeerRefusal(`the peer has no command ${name}`)
    }
  }

  #listCollections ({ name }: Document): Document {
    const found = this.collections.get(String(name))
    return cursor(
      '$cmd.listCollections',
      found === undefined ? [] : [{ name: String(name), type: 'collection', options: found.options }]
    )
  }

  /** Stores the validator without applying it. */
  #create (name: string, { validator, validationAction, validationLevel }: Document): Document {
    const given = Object.entries({ validator, validationAction, validationLevel }).filter(
      ([, value]) => value !== undefined
    )
    this.collection(name).options = Object.fromEntries(given)
    return { ok: 1 }
  }

  #documents (name: string): Document[] {
    return this.collections.get(name)?.documents ?? []
  }

  #find (name: string, { filter, sort, limit, projection, collation }: Document): Document[] {
    const found = this.#documents(name).filter((document) =>
      matches(document, filter as Document, collation as PeerCollation)
    )
    return sorted(found, sort as Document)
      .slice(0, (limit as number | undefined) ?? Infinity)
      .map((document) => project(document, projection as Document))
  }

  #aggregate (name: string, { pipeline }: Document): Document[] {
    let documents = this.#documents(name)
    for (const stage of pipeline as Document[]) {
      const [[operator, value] = ['', null]] = Object.entries(stage) as [string, unknown][]
      documents = this.#stage(documents, operator, value as Document & string & number)
    }
    return documents
  }

  #stage (documents: Document[], operator: string, value: Document & string & number): Document[] {
    switch (operator) {
      case '$match':
        return documents.filter((document) => matches(document, value))
      case '$sort':
        return sorted(documents, value)
      case '$limit':
        return documents.slice(0, value)
      case '$project':
        return documents.map((document) => project(document, value))
      case '$count':
        return documents.length === 0 ? [] : [{ [value]: documents.length }]
      case '$unwind': {
        const field = String(value).slice(1)
        return documents.flatMap((document) =>
          ((document[field] ?? []) as unknown[]).map((element) => ({ ...document, [field]: element }))
        )
      }
      case '$lookup':
        return documents.map((document) => ({
          ...document,
          [value['as']]: this.#documents(value['from'] as string).filter((other) =>
            valuesAt(document, value['localField'] as string).some((wanted) =>
              matches(other, { [value['foreignField']]: { $eq: wanted ?? null } })
            )
          )
        }))
      default:
        throw new PeerRefusal(`the peer has no stage ${operator}`)
    }
  }

  #eachWrite (writes: Document[], write: (one: Document) => number): Document {
    let n = 0
    try {
      for (const one of writes) n += write(one)
      return { n, nModified: n, ok: 1 }
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      return { n, nModified: n, writeErrors: [{ index: 0, ...error.answer }], ok: 1 }
    }
  }

  #update (name: string, { q, u, multi, arrayFilters, collation, upsert }: Document): number {
    const found = this.#documents(name).filter((document) =>
      matches(document, q as Document, collation as PeerCollation)
    )
    if (upsert === true && found.length === 0) {
      this.#put(
        name,
        [],
        changeDocument({ _id: ((q as Document)['_id'] as Document)['$eq'] as unknown }, u as Document, [])
      )
      return 1
    }
    const changed = multi === true ? found : found.slice(0, 1)
    for (const document of changed) {
      this.#put(name, [document], changeDocument(document, u as Document, (arrayFilters ?? []) as Document[]))
    }
    return changed.length
  }

  #delete (name: string, { q, limit, collation }: Document): number {
    const found = this.#documents(name).filter((document) =>
      matches(document, q as Document, collation as PeerCollation)
    )
    const gone = new Set(limit === 1 ? found.slice(0, 1) : found)
    if (gone.size > 0) this.collection(name).documents = this.#documents(name).filter((document) => !gone.has(document))
    return gone.size
  }

  #findAndModify (name: string, { query, update, upsert, new: after }: Document): Document {
    if (upsert !== true || after !== true) throw new PeerRefusal('the peer modifies with upsert and new only')
    const [found] = this.#documents(name).filter((document) => matches(document, query as Document))
    const base = found ?? { _id: ((query as Document)['_id'] as Document)['$eq'] as unknown }
    const value = changeDocument(base, update as Document, [])
    this.#put(name, found === undefined ? [] : [found], value)
    return { value, ok: 1 }
  }

  #listIndexes (name: string): Document {
    const found = this.collections.get(name)
    if (found === undefined) {
      throw new PeerError({ ok: 0, code: 26, codeName: 'NamespaceNotFound', errmsg: `ns does not exist: ${name}` })
    }
    return cursor(name, found.indexes)
  }

  #createIndexes (name: string, indexes: Document[]): Document {
    const { documents, indexes: known } = this.collection(name)
    for (const index of indexes) {
      const same = known.find((one) => one['name'] === index['name'])
      if (same !== undefined && !isDeepStrictEqual({ ...same, v: 2 }, { ...index, v: 2 })) {
        throw new PeerError({
          ok: 0,
          code: 86,
          codeName: 'IndexKeySpecsConflict',
          errmsg: 'An existing index has the same name as the requested index'
        })
      }
      if (same !== undefined) continue
      for (const document of documents) checkUnique(document, documents, [index])
      known.push({ v: 2, ...index })
    }
    return { ok: 1 }
  }

  #dropIndex (name: string, index: string): Document {
    const { indexes } = this.collection(name)
    const position = indexes.findIndex((one) => one['name'] === index)
    if (position === -1) throw new PeerError({ ok: 0, code: 27, codeName: 'IndexNotFound', errmsg: 'index not found' })
    indexes.splice(position, 1)
    return { ok: 1 }
  }

  /** Replaces documents by another one. Throws if a unique index has a duplicate. */
  #put (name: string, old: Document[], fresh: Document): void {
    const target = this.collection(name)
    if (old[0] !== undefined && compare(old[0]['_id'], fresh['_id']) !== 0) {
      throw new PeerError({ code: 66, errmsg: 'the immutable field _id' })
    }
    BSON.serialize(fresh, { checkKeys: false })
    checkUnique(
      fresh,
      target.documents.filter((document) => !old.includes(document)),
      target.indexes
    )
    target.documents =
      old.length === 0
        ? [...target.documents, fresh]
        : target.documents.map((document) => (document === old[0] ? fresh : document))
  }
}

function cursor (name: string, firstBatch: Document[]): Document {
  return { cursor: { id: BSON.Long.ZERO, ns: `test.${name}`, firstBatch }, ok: 1 }
}

function sorted (documents: Document[], sort: Document = {}): Document[] {
  return documents.toSorted((one, other) => {
    for (const [path, direction] of Object.entries(sort) as [string, number][]) {
      const order = compare(valuesAt(one, path)[0], valuesAt(other, path)[0]) * direction
      if (order !== 0) return order
    }
    return 0
  })
}

/** Returns the named paths and, unless excluded, `_id`. `$$ROOT` stands for the whole document. */
function project (document: Document, projection: Document | undefined): Document {
  if (projection === undefined) return document
  const result: Document =
    projection['_id'] === 0 || document['_id'] === undefined ? {} : { _id: document['_id'] as unknown }
  for (const [path, value] of Object.entries(projection) as [string, unknown][]) {
    if (value === '$$ROOT') result[path] = document
    else if (value === 1) copyPath(document, result, path.split('.'))
    else if (path !== '_id') throw new PeerRefusal(`the peer does not project ${path}: ${String(value)}`)
  }
  return result
}

function copyPath (from: Document, to: Document, [name = '', ...rest]: string[]): void {
  const value = from[name] as unknown
  if (value === undefined) return
  if (rest.length === 0) to[name] = value
  else if (Array.isArray(value)) throw new PeerRefusal('the peer projects no lists')
  else copyPath(value as Document, (to[name] ??= {}), rest)
}

function changeDocument (document: Document, update: Document, arrayFilters: Document[]): Document {
  const fresh = BSON.deserialize(BSON.serialize(document), { promoteBuffers: false })
  if (Array.isArray(update)) {
    for (const stage of update as Document[]) {
      for (const [name, expression] of Object.entries(stage['$set'] as Document)) {
        fresh[name] = evaluate(fresh, expression as Document)
      }
    }
    return fresh
  }
  for (const [operator, changes] of Object.entries(update) as [string, Document][]) {
    for (const [path, value] of Object.entries(changes) as [string, unknown][]) {
      change(fresh, operator, path, value, arrayFilters)
    }
  }
  return fresh
}

/** Evaluates an expression. The sum of null and any value is null, as on a server. */
function evaluate (document: Document, expression: Document): unknown {
  if ('$literal' in expression) return expression['$literal']
  const [summand, step] = (expression['$add'] ?? []) as [string | { $ifNull: [string, unknown] }, number]
  if (typeof step !== 'number') throw new PeerRefusal('the peer has $literal and $add only')
  const [path, fallback] = typeof summand === 'string' ? [summand, null] : summand.$ifNull
  const value = (document[path.slice(1)] as unknown) ?? fallback
  return value === null || value === undefined ? null : Number(value) + step
}

function change (document: Document, operator: string, path: string, value: unknown, arrayFilters: Document[]): void {
  const [list = '', identifier, name] = path.split('.')
  if (operator === '$set' && identifier === '$[row]' && name !== undefined) {
    for (const element of document[list] as Document[]) {
      if (arrayFilters.every((filter) => matches({ row: element }, filter))) element[name] = value
    }
  } else if (identifier !== undefined) throw new PeerRefusal(`the peer does not ${operator} ${path}`)
  else if (operator === '$set') document[list] = value
  else if (operator === '$inc') document[list] = Number(document[list] ?? 0) + Number(value)
  else if (operator === '$max') document[list] = compare(document[list], value) < 0 ? value : document[list]
  else if (operator === '$unset') Reflect.deleteProperty(document, list)
  else if (operator === '$rename') {
    document[String(value)] = document[list] as unknown
    Reflect.deleteProperty(document, list)
  } else if (operator === '$push') document[list] = [...((document[list] ?? []) as unknown[]), value]
  else if (operator === '$pull') {
    document[list] = (document[list] as unknown[]).filter((element) => !matches(element, value as Document))
  } else throw new PeerRefusal(`the peer has no ${operator}`)
}

/** Returns the values of an index's fields, one tuple for each element of a list. */
function tuplesOf (document: Document, paths: string[]): unknown[][] {
  const [head = ''] = paths[0]?.split('.') ?? []
  const list = document[head] as unknown
  const parts = Array.isArray(list) ? list.map((element) => ({ [head]: element as unknown })) : [document]
  return parts.map((part) => paths.map((path) => valuesAt(part, path)[0] ?? null))
}

/** A unique index compares documents, not the elements of one document. */
function checkUnique (document: Document, others: Document[], indexes: Document[]): void {
  for (const { key, name, unique, collation, partialFilterExpression: partial = {} } of indexes) {
    if ((unique !== true && name !== '_id_') || !matches(document, partial as Document)) continue
    const paths = Object.keys(key as Document)
    const tuples = tuplesOf(document, paths)
    const taken = others
      .filter((other) => other !== document && matches(other, partial as Document))
      .flatMap((other) => tuplesOf(other, paths))
    if (
      tuples.some((tuple) =>
        taken.some((other) =>
          tuple.every((value, position) => compare(value, other[position], collation as PeerCollation) === 0)
        )
      )
    ) {
      throw new PeerError({
        ok: 0,
        code: 11000,
        codeName: 'DuplicateKey',
        keyPattern: key as unknown,
        errmsg: `E11000 duplicate key error index: ${String(name)}`
      })
    }
  }
}
