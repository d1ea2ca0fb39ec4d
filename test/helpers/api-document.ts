import { compileErrors, validate } from '@readme/openapi-parser'
import { Validator } from '@seriousme/openapi-schema-validator'

interface Media {
  schema: object
  examples?: Record<string, { value: unknown }>
}

/** A reply as the document tells of it. */
export interface Reply {
  description: string
  content?: Record<string, Media>
}

/** An operation as the document tells of it. */
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

/** An OpenAPI document, as far as the tests look at it. */
export interface ApiDocument {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Component>; securitySchemes: Record<string, object> }
}

/** What two validators that know nothing of each other say of a document: nothing where it is valid. */
export async function validateDocument (document: object): Promise<{ seriousme: unknown; readme: unknown }> {
  const { valid, errors } = await new Validator().validate(structuredClone(document) as Record<string, unknown>)
  const result = await validate(structuredClone(document) as Parameters<typeof validate>[0])
  return { seriousme: valid ? null : (errors ?? 'invalid'), readme: result.valid ? null : compileErrors(result) }
}

/** Every operation with its method and path. */
export function operationsOf ({ paths }: ApiDocument): { method: string; path: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation }))
  )
}
