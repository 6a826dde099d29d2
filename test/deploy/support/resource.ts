/** What the rules read of Kubernetes' resources. */

export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Labels };
  readonly data?: Readonly<Record<string, string>>;
  readonly automountServiceAccountToken?: boolean;
  // What a kind's spec looks like is the schema's business; rules pick what they need.
  readonly spec?: any;
}

export type Labels = Readonly<Record<string, string>>;

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly envFrom?: readonly { readonly configMapRef?: { readonly name: string } }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } };
  readonly resources?: { readonly requests?: Labels; readonly limits?: Labels };
  readonly securityContext?: Readonly<Record<string, any>>;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

export interface Probe {
  readonly periodSeconds?: number;
  readonly failureThreshold?: number;
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly httpGet?: { readonly port: number | string };
  readonly tcpSocket?: { readonly port: number | string };
}

/** A template of pods, with the workload that makes them. */
export interface Pods {
  readonly owner: Resource;
  /** Meant to run until it is stopped; a job is not. */
  readonly isLasting: boolean;
  readonly labels: Labels;
  readonly spec: {
    readonly serviceAccountName?: string;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly volumes?: readonly Volume[];
    readonly [field: string]: any;
  };
}

export interface Volume {
  readonly name: string;
  readonly configMap?: { readonly name: string };
  readonly secret?: { readonly secretName: string };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly emptyDir?: { readonly sizeLimit?: string };
}

export const nameOf = ({ kind, metadata }: Resource): string => `${kind} ${metadata.name}`;

/** Every template of pods in a set of resources. */
export function podsIn(resources: readonly Resource[]): Pods[] {
  return resources.flatMap((owner) => {
    const template = owner.kind === 'CronJob' ? owner.spec.jobTemplate.spec.template : owner.spec?.template;
    if (!['StatefulSet', 'Deployment', 'Job', 'CronJob'].includes(owner.kind)) return [];
    const isLasting = owner.kind === 'StatefulSet' || owner.kind === 'Deployment';
    return [{ owner, isLasting, labels: template.metadata?.labels ?? {}, spec: template.spec }];
  });
}

export const containersOf = ({ spec }: Pods): readonly Container[] => [...(spec.initContainers ?? []), ...spec.containers];

/** The container that runs a txmesh server, if these pods have one. */
export const serverOf = ({ owner, spec }: Pods): Container | undefined =>
  owner.metadata.labels?.['app.kubernetes.io/name'] === 'txmesh' ? spec.containers.find(({ name }) => name === 'server') : undefined;

export function matches(selector: Labels | undefined, labels: Labels): boolean {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}
