import { compileErrors, validate } from '@readme/openapi-parser'
import { Validator } from '@seriousme/openapi-schema-validator'

interface Media {
  schema: object
  examples?: Record<string, { value: unknown }>
}

/** A reply as the document describes it. */
export interface Reply {
  description: string
  content?: Record<string, Media>
}

/** An operation as the document describes it. */
export interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: Record<string, string[]>[]
  requestBody?: { content: Record<string, { schema: { $ref: string } }> }
  responses: Record<string, Reply>
}

interface Component {
  $ref?: string
  type?: string
  title?: string
  properties: Record<string, Record<string, unknown>>
  required?: string[]
}

/** The parts of an OpenAPI document that the tests read. */
export interface ApiDocument {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Component>; securitySchemes: Record<string, object> }
}

const validator = new Validator() // compiles the schema of OpenAPI once

/** Checks a document with two independent validators. Returns the errors of each, or null for a valid document. */
export async function validateDocument (document: object): Promise<{ seriousme: unknown; readme: unknown }> {
  const { valid, errors } = await validator.validate(structuredClone(document) as Record<string, unknown>)
  const result = await validate(structuredClone(document) as Parameters<typeof validate>[0])
  return { seriousme: valid ? null : (errors ?? 'invalid'), readme: result.valid ? null : compileErrors(result) }
}

/** Returns every operation with its method and path. */
export function operationsOf ({ paths }: ApiDocument): { method: string; path: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation }))
  )
}
