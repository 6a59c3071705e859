// A forest's scores and answers on a GPU; compiled at run time by NVRTC, for the device that is there.
//
// A block has `rows_per_block` rows and all trees, which it takes TREES at a time. Its threads first walk: each one takes a
// row through a tree and leaves what it found in a slot. Then they add: each one takes an output of a row and adds the slots
// in the order of the trees. So the sums are those of the CPU to the last bit, and the same in every run, whoever walked what. Few
// rows are spread over many blocks, with a block's threads on different trees; of many rows a warp takes 32
// through the same tree, whose upper nodes it reads once.
//
// Nothing is checked here: the arrays are those of `FlatForest`, whose numbers are places inside each other, and the host
// computed the sizes. Words in capitals are defined by the host, in kernel.rs.

typedef unsigned int u32;
typedef unsigned long long u64;

// As `Job` in job.rs has it.
struct Job {
    const uint4* nodes;
    const uint2* trees;
    const u32* sets;
    const u32* words;
    const void* leaf_values;
    const uint2* additions;
    const u32* addition_starts;
    const void* base_scores;
    const void* divisors;  // null where sums are no averages
    const float* rows;
    void* sums;            // rows times outputs, to work in
    float* answers;
    double link_factor;
    u64 row_count;
    u32 tree_count;
    u32 feature_count;
    u32 output_count;
    u32 classes;
    u32 answer_length;
    u32 link;
    u32 answer;
    float threshold;
    u32 rows_per_block;
    u32 stages_rows;       // whether the block's rows are kept in shared memory
};

static_assert(sizeof(Job) == JOB_BYTES, "job.rs and forest.cu differ");

// A slot holds the value of a leaf, or the place of its values where it has several.
__device__ float place_in_slot(u32 place, float) { return __uint_as_float(place); }
__device__ double place_in_slot(u32 place, double) { return __longlong_as_double(place); }
__device__ u32 place_of_slot(float slot) { return __float_as_uint(slot); }
__device__ u32 place_of_slot(double slot) { return (u32)__double_as_longlong(slot); }

__device__ bool holds(const Job& job, u32 set, float value) {
    bool truncates = job.sets[3 * set + 2] != 0;
    // What no 32 bits can count is in no set.
    if (!(truncates ? value > -1.0f : value >= 0.0f) || value >= 4294967296.0f) return false;
    u32 category = (u32)value;
    u32 word = job.sets[3 * set] + category / 32;
    // The sum cannot wrap: sets have at most 2^24 words, and a category's word is below 2^27.
    return word < job.sets[3 * set + 1] && (job.words[word] >> (category % 32) & 1u);
}

// Where the values of the leaf begin that a row reaches.
__device__ u32 walk(const Job& job, u32 root, const float* row) {
    u32 at = root;
    while (true) {
        uint4 node = __ldg(&job.nodes[at]);  // threshold, left, feature and flags, payload
        if (node.y == at) return node.w;
        float value = row[node.z & FEATURE_MASK];
        bool right = value >= __uint_as_float(node.x);
        bool missing = isnan(value);
        if (node.z & (MEMBER | ZERO_IS_MISSING)) {
            missing = missing || ((node.z & ZERO_IS_MISSING) && fabsf(value) <= ZERO_MAX);
            if (!missing && (node.z & MEMBER)) right = !holds(job, node.w, value);
        }
        if (missing) right = node.z & DEFAULT_RIGHT;
        at = node.y + (right ? 1 : 0);
    }
}

// The first of the additions begin..end whose tree is not before `tree`.
__device__ u32 first_addition(const Job& job, u32 begin, u32 end, u32 tree) {
    while (begin < end) {
        u32 middle = begin + (end - begin) / 2;
        if (job.additions[middle].x < tree) begin = middle + 1; else end = middle;
    }
    return begin;
}

// Adds what the trees from `begin` on, which lie in the slots, give to an output of a row.
template <typename N>
__device__ N add(const Job& job, const N* slots, u32 row, u32 output, u32 begin, N sum) {
    const N* values = (const N*)job.leaf_values;
    u32 at = job.addition_starts[output], end = job.addition_starts[output + 1];
    if (end - at == job.tree_count) {  // every tree adds to it: nothing is searched
        end = at + min(begin + TREES, job.tree_count);
        at += begin;
    } else {
        at = first_addition(job, at, end, begin);
        end = first_addition(job, at, end, begin + TREES);
    }
    // Unrolled so that the loads of several additions are under way; the order of the sums stays.
#pragma unroll 8
    for (; at < end; at++) {
        uint2 addition = __ldg(&job.additions[at]);  // tree, value of its leaf
        N slot = slots[(addition.x - begin) * job.rows_per_block + row];
        sum += addition.y == ONLY_VALUE ? slot : values[place_of_slot(slot) + addition.y];
    }
    return sum;
}

// The link functions of one number; softmax takes several, and comes later.
template <typename N>
__device__ N link_one(const Job& job, N sum) {
    N factor = (N)job.link_factor;
    switch (job.link) {
        case LINK_SIGMOID: return N(1) / (N(1) + exp(-factor * sum));
        case LINK_EXPONENTIAL: return exp(sum);
        case LINK_EXP2: return exp2(-factor * sum);
        case LINK_LOG_ONE_PLUS_EXP: return log1p(exp(sum));
        case LINK_HINGE: return sum > N(0) ? N(1) : N(0);
        case LINK_SIGNED_SQUARE: return copysign(sum * sum, sum);
        default: return sum;
    }
}

template <typename N>
__device__ void softmax(N* sums, u32 classes) {
    N largest = sums[0];
    for (u32 i = 1; i < classes; i++) {
        if (!(largest >= sums[i])) largest = sums[i];
    }
    N total = N(0);
    for (u32 i = 0; i < classes; i++) {
        sums[i] = exp(sums[i] - largest);
        total += sums[i];
    }
    for (u32 i = 0; i < classes; i++) sums[i] /= total;
}

// The first of the highest scores, as the CPU has it.
template <typename N>
__device__ u32 highest(const N* sums, u32 classes) {
    u32 best = 0;
    float score = __uint_as_float(0xff800000u);  // below all others
    for (u32 i = 0; i < classes; i++) {
        if ((float)sums[i] > score) {
            best = i;
            score = (float)sums[i];
        }
    }
    return best;
}

// The answers to a block's rows out of their scores.
template <typename N>
__device__ void answer(const Job& job, const N* sums, u64 first_row, u32 rows) {
    u32 targets = job.output_count / job.classes;
    float* answers = job.answers + first_row * job.answer_length;
    switch (job.answer) {
        case ANSWER_BOTH_CLASSES:
            for (u32 i = threadIdx.x; i < rows; i += THREADS) {
                float score = (float)sums[i];
                answers[2 * i] = 1.0f - score;
                answers[2 * i + 1] = score;
            }
            break;
        case ANSWER_ABOVE:
            for (u32 i = threadIdx.x; i < rows * targets; i += THREADS) {
                answers[i] = (float)sums[i] > job.threshold ? 1.0f : 0.0f;
            }
            break;
        case ANSWER_HIGHEST:
            for (u32 i = threadIdx.x; i < rows * targets; i += THREADS) {
                answers[i] = (float)highest(sums + (u64)i * job.classes, job.classes);
            }
            break;
        default:
            for (u32 i = threadIdx.x; i < rows * job.output_count; i += THREADS) answers[i] = (float)sums[i];
    }
}

template <typename N>
__device__ void evaluate(const Job& job) {
    extern __shared__ double shared_memory[];  // slots, then rows where they are kept
    N* slots = (N*)shared_memory;
    u64 first_row = (u64)blockIdx.x * job.rows_per_block;
    u32 rows = (u32)min((u64)job.rows_per_block, job.row_count - first_row);
    const float* values = job.rows + first_row * job.feature_count;
    u32 stride = job.feature_count;
    if (job.stages_rows) {
        // An odd stride: the same feature of 32 rows lies in 32 banks.
        float* staged = (float*)(slots + TREES * job.rows_per_block);
        stride |= 1;
        for (u32 i = threadIdx.x; i < rows * job.feature_count; i += THREADS) {
            staged[i / job.feature_count * stride + i % job.feature_count] = values[i];
        }
        values = staged;
    }
    // Pairs of a row and an output keep their thread, so that nobody else sees a sum before all are done.
    N* sums = (N*)job.sums + first_row * job.output_count;
    u32 pairs = rows * job.output_count;
    const N* base_scores = (const N*)job.base_scores;
    const N* divisors = (const N*)job.divisors;
    for (u32 i = threadIdx.x; i < pairs; i += THREADS) {
        sums[i] = divisors ? N(0) : base_scores[i % job.output_count];
    }
    for (u32 begin = 0; begin < job.tree_count; begin += TREES) {
        __syncthreads();  // the rows are there, the slots are free
        u32 walks = min(TREES, job.tree_count - begin) * job.rows_per_block;
        for (u32 i = threadIdx.x; i < walks; i += THREADS) {
            u32 row = i % job.rows_per_block;
            if (row >= rows) continue;
            uint2 tree = job.trees[begin + i / job.rows_per_block];  // root, values of a leaf
            u32 place = walk(job, tree.x, values + (u64)row * stride);
            slots[i] = tree.y == 1 ? ((const N*)job.leaf_values)[place] : place_in_slot(place, N(0));
        }
        __syncthreads();  // the slots are full
        for (u32 i = threadIdx.x; i < pairs; i += THREADS) {
            sums[i] = add(job, slots, i / job.output_count, i % job.output_count, begin, sums[i]);
        }
    }
    for (u32 i = threadIdx.x; i < pairs; i += THREADS) {
        u32 output = i % job.output_count;
        N sum = divisors ? sums[i] / divisors[output] + base_scores[output] : sums[i];
        sums[i] = link_one(job, sum);
    }
    __syncthreads();  // from here on a thread has the classes of a target
    if (job.link == LINK_SOFTMAX) {
        for (u32 i = threadIdx.x; i < pairs / job.classes; i += THREADS) {
            softmax(sums + (u64)i * job.classes, job.classes);
        }
        __syncthreads();
    }
    answer(job, sums, first_row, rows);
}

extern "C" __global__ void __launch_bounds__(THREADS) forest_single(const __grid_constant__ Job job) {
    evaluate<float>(job);
}

extern "C" __global__ void __launch_bounds__(THREADS) forest_double(const __grid_constant__ Job job) {
    evaluate<double>(job);
}
